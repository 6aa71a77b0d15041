import { FrpError } from '../../contract/errors.ts'

/** What a NAT does with the source of datagrams to two addresses (frp, pkg/nathole/classify.go). */
export type NatType = 'EasyNAT' | 'HardNAT'
export type NatBehavior = 'BehaviorNoChange' | 'BehaviorIPChanged' | 'BehaviorPortChanged' | 'BehaviorBothChanged'

/** The class of a client's NAT, as frp names it. */
export interface NatFeature {
  natType: NatType
  behavior: NatBehavior
  /** Between the highest and the lowest port; 0 unless only ports differ. */
  portsDifference: number
  /** The ports differ by little, so that the next one can be guessed. */
  regularPortsChange: boolean
  /** One of the client's own addresses is what the world sees. */
  publicNetwork: boolean
}

/** frp: ports that differ by no more are regular. */
const REGULAR_DIFFERENCE = 5

/**
 * The class for two or more addresses (`ip:port`) under which a client was seen; `localIps` are its own. Throws
 * MESSAGE_FIELD.
 */
export function classifyNat(addresses: readonly string[], localIps: readonly string[]): NatFeature {
  if (addresses.length <= 1) throw new FrpError('MESSAGE_FIELD', 'not enough addresses')
  const parts = addresses.map(splitAddress)
  const ports = parts.map(({ port }) => port)
  const ipChanged = new Set(parts.map(({ ip }) => ip)).size > 1
  const portsDifference = Math.max(...ports) - Math.min(...ports)
  const portChanged = portsDifference > 0
  const isPortAlone = portChanged && !ipChanged
  return {
    natType: ipChanged || portChanged ? 'HardNAT' : 'EasyNAT',
    behavior: behaviorOf(ipChanged, portChanged),
    portsDifference: isPortAlone ? portsDifference : 0,
    regularPortsChange: isPortAlone && portsDifference <= REGULAR_DIFFERENCE,
    publicNetwork: parts.some(({ ip }) => localIps.includes(ip)),
  }
}

/** `ip:port` in its parts; an IPv6 address stands in brackets. Throws MESSAGE_FIELD. */
export function splitAddress(address: string): { ip: string; port: number } {
  const [, ipv6, ip = ipv6 ?? '', digits = ''] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address) ?? []
  const port = Number(digits)
  if (ip === '' || port > 65_535) {
    throw new FrpError('MESSAGE_FIELD', `address ${JSON.stringify(address.slice(0, 60))}: expected ip:port`)
  }
  return { ip, port }
}

function behaviorOf(ipChanged: boolean, portChanged: boolean): NatBehavior {
  if (ipChanged) return portChanged ? 'BehaviorBothChanged' : 'BehaviorIPChanged'
  return portChanged ? 'BehaviorPortChanged' : 'BehaviorNoChange'
}
