import type { WireProtocol } from '../protocol/frp/codec.ts'
import type { Traffic } from '../protocol/stream/join.ts'
import type { ControlState } from './control.ts'
import type { PeerInfo } from './ingress.ts'
import type { VisitorLeg } from './proxy.ts'

/**
 * Version of everything below. A relay that reads another one closes that connection: the client is back in a
 * second, and nothing is misread.
 */
export const SAVED_VERSION = 4

/** A connection as plain data (structured clone takes it): all that must outlive sleep. */
export interface SavedConnection {
  version: number
  peer: PeerInfo
  /** `Session.snapshot()`. */
  session: Uint8Array
  control: SavedControl | undefined
  /** Idle work connections, oldest first: yamux ids, and how each is framed. */
  parked: { stream: number; wire: WireProtocol }[]
  /** Visits of which one end is a stream of this connection. */
  visits: SavedVisit[]
}

export interface SavedControl {
  state: ControlState
  /** The ciphers of the control stream. */
  cipher: Uint8Array
  /** The first bytes of a message that is not complete. */
  partial: Uint8Array
  /** What each of the state's proxies has carried. */
  traffic: Traffic[]
}

/** A visitor joined to a work connection; each end is a stream of some connection, named by its key. */
export interface SavedVisit {
  proxyName: string
  /** The visitor's end. */
  visitor: SavedEnd
  work: SavedEnd
  /** State of what is wrapped around the work connection, outermost first. */
  wrapped: Uint8Array[]
  /** How the visitor's end is wrapped, and the state of that; undefined: it is not. */
  leg: { kind: VisitorLeg; wrapped: Uint8Array[] } | undefined
}

export interface SavedEnd {
  /** Key of the connection, as the runtime named it. */
  connection: string
  /** yamux id. */
  stream: number
}
