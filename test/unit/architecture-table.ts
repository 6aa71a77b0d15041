/** What a room may lean on. `docs/architecture.md` prints this table. */
export interface RoomRule {
  /** Rooms that its files may import. `*` is every room. */
  rooms: readonly string[]
  /** Of these rooms only types. */
  typesOf?: readonly string[]
  /** Packages and built-in modules; `node:*` stands for all that begin so. `*` is every package. */
  packages: readonly string[]
}

const PROTOCOL = [
  'protocol',
  'protocol/stream',
  'protocol/yamux',
  'protocol/frp',
  'protocol/http1',
  'protocol/websocket',
] as const
const DOOR_PACKAGES = ['node:*', 'commander', 'hono'] as const

/**
 * Every folder of the tree that holds code is a room or lies in one; the longest name that fits counts.
 * `protocol` itself is the files right in that folder: the limits.
 */
export const ARCHITECTURE: Readonly<Record<string, RoomRule>> = {
  contract: { rooms: [], packages: [] },
  protocol: { rooms: [], packages: [] },
  'protocol/stream': { rooms: ['contract', 'protocol'], packages: [] },
  'protocol/yamux': { rooms: ['contract', 'protocol', 'protocol/stream'], packages: [] },
  'protocol/frp': { rooms: ['contract', 'protocol', 'protocol/stream'], packages: [] },
  'protocol/http1': { rooms: ['contract', 'protocol', 'protocol/stream'], packages: [] },
  'protocol/websocket': { rooms: ['contract', 'protocol'], packages: [] },
  config: { rooms: ['contract'], packages: ['smol-toml', 'yaml'] },
  relay: { rooms: ['contract', ...PROTOCOL], typesOf: ['config'], packages: ['jose'] },
  'relay/api': { rooms: ['contract', ...PROTOCOL, 'relay', 'dashboard'], typesOf: ['config'], packages: ['hono'] },
  node: {
    rooms: ['contract', 'protocol', 'protocol/stream', 'protocol/websocket'],
    packages: ['node:*', 'ws', '@hono/node-server'],
  },
  'relay-node': {
    rooms: ['contract', ...PROTOCOL, 'config', 'relay', 'relay/api', 'node'],
    packages: [...DOOR_PACKAGES, 'ssh2'],
  },
  client: { rooms: ['contract', ...PROTOCOL, 'config', 'node'], packages: DOOR_PACKAGES },
  worker: {
    rooms: ['contract', ...PROTOCOL, 'config', 'relay', 'relay/api'],
    packages: ['cloudflare:*', 'node:crypto'],
  },
  dashboard: { rooms: [], packages: [] },
  test: { rooms: ['*'], packages: ['*'] },
  bench: { rooms: ['*'], packages: ['*'] },
  scripts: { rooms: ['*'], packages: ['*'] },
}
