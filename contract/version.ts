/** The version of this program. */
export const VERSION = '0.1.0'
/** The frp release whose wire and behaviour this version follows; what peers see in Login and LoginResp. */
export const FRP_VERSION = '0.70.1'
