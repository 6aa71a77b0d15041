import type { OutgoingOf } from '../../protocol/frp/messages.ts'
import type { NatFeature } from '../../protocol/frp/nat-feature.ts'
import { splitAddress } from '../../protocol/frp/nat-feature.ts'
import type { Recommendation } from './analysis.ts'
import type { Behavior } from './behaviors.ts'

/** frp: how long a side listens, beyond the delays of both. */
const READ_MS = 5_000
/** frp: with many sockets the other one needs that long for its random ports. */
const RANDOM_PORTS_MS = 30_000
/** frp: ports around a guessed range. */
const RANGE_MARGIN = 5
const MAX_PORT = 65_535

/** One side of a hole punch, as it told of itself. */
export interface Side {
  transactionId: string
  mapped: readonly string[]
  assisted: readonly string[]
  feature: NatFeature
}

export type NatHoleAnswer = OutgoingOf<'NatHoleResp'>

/** What both sides are told: each about the other (frp: controller.go, newNatHoleResponse). */
export function answersOf(
  sid: string,
  protocol: string,
  owner: Side,
  visitor: Side,
  { mode, owner: ownerDoes, visitor: visitorDoes }: Recommendation,
): { owner: NatHoleAnswer; visitor: NatHoleAnswer; ownerReadMs: number } {
  const isRandom = ownerDoes.listenRandomPorts > 0 || visitorDoes.listenRandomPorts > 0
  const readMs = Math.max(ownerDoes.sendDelayMs, visitorDoes.sendDelayMs) + READ_MS + (isRandom ? RANDOM_PORTS_MS : 0)
  const answer = (to: Side, does: Behavior, peer: Side): NatHoleAnswer => ({
    type: 'NatHoleResp',
    transaction_id: to.transactionId,
    sid,
    protocol,
    candidate_addrs: withoutRepeats(peer.mapped),
    assisted_addrs: withoutRepeats(peer.assisted),
    detect_behavior: {
      role: does.role,
      mode,
      ttl: does.ttl,
      send_delay_ms: does.sendDelayMs,
      read_timeout: readMs - does.sendDelayMs,
      candidate_ports: rangeOf(peer, does.portsRange),
      send_random_ports: does.sendRandomPorts,
      listen_random_ports: does.listenRandomPorts,
    },
  })
  return {
    owner: answer(owner, ownerDoes, visitor),
    visitor: answer(visitor, visitorDoes, owner),
    ownerReadMs: readMs - ownerDoes.sendDelayMs,
  }
}

/** Ports that the peer's NAT may give next: around its last one. */
function rangeOf({ mapped, feature }: Side, range: number): { from: number; to: number }[] {
  const last = mapped.at(-1)
  if (range <= 0 || last === undefined) return []
  const { port } = splitAddress(last)
  const near = feature.portsDifference + RANGE_MARGIN
  return [{ from: Math.max(port - near, port - range, 1), to: Math.min(port + near, port + range, MAX_PORT) }]
}

/** Without what is equal to the one before it. */
function withoutRepeats(addresses: readonly string[]): string[] {
  return addresses.filter((address, index) => index === 0 || address !== addresses[index - 1])
}
