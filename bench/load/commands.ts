/** Where users connect; `via`: what they say before their own first byte, a TLS handshake or a CONNECT. */
export interface Door {
  port: number
  via?: 'tls' | 'connect'
}

/** What the benchmark asks of a load process over IPC. Times in milliseconds, sizes in bytes. */
export type Command =
  /** Opens connections that stream at full speed until `stop`. `up`: from the user to the service. */
  | ({ do: 'stream'; connections: number; direction: Direction } & Door)
  /** Bytes received so far by this process. */
  | { do: 'bytes' }
  /** One connection whose reader never reads. */
  | { do: 'stall'; port: number; direction: Direction }
  | { do: 'stop' }
  | ({ do: 'ping'; count: number; warmUp: number; size: number } & Door)
  /** Loops of connect, 64 bytes there and back, close. */
  | ({ do: 'connect'; loops: number; durationMs: number } & Door)
  | { do: 'http'; port: number; connections: number; keepAlive: boolean; durationMs: number }
  | { do: 'udp'; port: number; perSecond: number; size: number; durationMs: number }
  /** Opens connections that stay open, each after one byte was echoed. */
  | { do: 'idle'; port: number; connections: number }
  /** Honest clients that log in, and users who connect and are echoed, each at a rate of its own. */
  | { do: 'honest'; bind: number; echo: number; durationMs: number }
  /** One attack of attacker.ts; what it opens stays open until `stop`. */
  | { do: 'attack'; name: AttackName; ports: Record<AttackedPort, number> }
  /** Loops of a download that the user cuts. */
  | { do: 'abort'; port: number; loops: number; count: number }

export type Direction = 'up' | 'down'

/** What attacker.ts can do. */
export type AttackName =
  | 'nothing'
  | 'heads'
  | 'silent'
  | 'lengths'
  | 'strangers-streams'
  | 'fragments'
  | 'streams'
  | 'readers'
  | 'pings'
  | 'churn'
  | 'tokens'
  | 'proxies'
  | 'datagrams'
  | 'long-heads'
  | 'sockets'

/** Where an attack goes. */
export type AttackedPort = 'bind' | 'vhost' | 'bulk' | 'udp'

/** How long it took in ms; who did not get through took HONEST_PATIENCE_MS. */
export interface Percentiles {
  p50Ms: number
  p99Ms: number
}

/** When an honest peer gives up. */
export const HONEST_PATIENCE_MS = 5_000

/** Stock frps upgrades nobody without it. */
export const ORIGIN = 'Origin: http://127.0.0.1\r\n'

/** The token of configs/. */
export const TOKEN = 'bench'

/** What a load process answers, by command. */
export interface Answers {
  stream: null
  bytes: { received: number }
  stall: null
  stop: null
  ping: { p50Us: number; p99Us: number }
  connect: { count: number; errors: number; elapsedMs: number }
  http: { count: number; errors: number; elapsedMs: number }
  udp: { sent: number; received: number }
  idle: null
  honest: { login: Percentiles; request: Percentiles }
  attack: null
  abort: null
}

/** The first byte that a user sends to the bulk service says what it wants. */
export const ASK_DOWN = 0x44
export const ASK_UP = 0x55
/** The service shall read nothing more. */
export const ASK_STALL = 0x53
/** The host that users of names ask for, as in configs/frpc.toml. */
export const VHOST = 'bench.test'

/** Answers one command after the other; an error ends the process, which the benchmark sees. */
export function serve(run: (command: Command) => Promise<unknown>): void {
  process.on('message', (message) => {
    // Sent by LoadProcess.call alone.
    const { id, command } = message as { id: number; command: Command }
    run(command).then(
      (answer) => process.send?.({ id, answer: answer ?? null }),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
  process.on('disconnect', () => process.exit(0))
}
