/** What one side of a hole punch does (frp: RecommandBehavior in pkg/nathole/analysis.go). */
export interface Behavior {
  role: 'sender' | 'receiver'
  /** IP TTL of the datagrams; 0: as usual. */
  ttl: number
  sendDelayMs: number
  /** The peer's ports from its last one minus this to plus this; 0: only the ports that it named. */
  portsRange: number
  /** Datagrams to random ports of the peer. */
  sendRandomPorts: number
  /** Sockets beside the first. */
  listenRandomPorts: number
}

/** `owner` and `visitor` of a pair; which is which is turned in some modes. */
export interface BehaviorPair {
  a: Behavior
  b: Behavior
}

/** frp's detect modes, by the classes of the two NATs. */
export type Mode = 0 | 1 | 2 | 3 | 4

const NOTHING = { ttl: 0, sendDelayMs: 0, portsRange: 0, sendRandomPorts: 0, listenRandomPorts: 0 }

function sends(more: Partial<Behavior> = {}): Behavior {
  return { ...NOTHING, role: 'sender', ...more }
}

function receives(more: Partial<Behavior> = {}): Behavior {
  return { ...NOTHING, role: 'receiver', ...more }
}

/** A short TTL opens the own NAT and ends before the peer's, which might take the datagram for an attack. */
const TTLS = [{ ttl: 7 }, { ttl: 4 }, {}] as const
const RANDOM = { sendRandomPorts: 1_000, sendDelayMs: 3_000 }

/** What is tried in each mode, in frp's order: clients report the success of one by mode and index. */
export const BEHAVIORS: Readonly<Record<Mode, readonly BehaviorPair[]>> = {
  // Both NATs keep one port for all peers.
  0: [
    ...TTLS.flatMap((ttl) => [
      { a: sends(), b: receives(ttl) },
      { a: receives(ttl), b: sends() },
    ]),
    { a: sends({ sendDelayMs: 5_000 }), b: receives() },
    { a: sends({ sendDelayMs: 10_000 }), b: receives() },
    { a: receives(), b: sends({ sendDelayMs: 5_000 }) },
    { a: receives(), b: sends({ sendDelayMs: 10_000 }) },
  ],
  // One is hard and changes ports regularly: it sends.
  1: TTLS.flatMap((ttl) => [
    { a: sends(), b: receives({ ...ttl, portsRange: 10 }) },
    { a: sends({ sendDelayMs: 2_000 }), b: receives({ ...ttl, portsRange: 10 }) },
  ]),
  // One is hard: it listens on many ports.
  2: TTLS.map((ttl) => ({ a: sends(RANDOM), b: receives({ ...ttl, listenRandomPorts: 256 }) })),
  // Both are hard and regular.
  3: [
    ...TTLS.map((ttl) => ({ a: sends({ portsRange: 10 }), b: receives({ ...ttl, portsRange: 10 }) })),
    ...TTLS.map((ttl) => ({ a: receives({ ...ttl, portsRange: 10 }), b: sends({ portsRange: 10 }) })),
  ],
  // Both are hard, one of them regular: it sends.
  4: TTLS.map((ttl) => ({ a: sends(RANDOM), b: receives({ ...ttl, listenRandomPorts: 256, portsRange: 2 }) })),
}
