import type { ServerChannel } from 'ssh2'

/** Ctrl+C and Ctrl+D, which a client with a terminal sends instead of stopping by itself. */
const QUIT = [3, 4]
/** As OpenSSH itself leaves when a connection fails: scripts and autossh know it. */
const EXIT_FAILURE = 255

/** The session channel of an ssh client: what a person reads there. */
export class Terminal {
  private readonly channel: ServerChannel
  private readonly isRaw: boolean

  /** `isRaw`: the client has a pseudo-terminal, on which `\n` alone does not go to the line's start. */
  constructor(channel: ServerChannel, isRaw: boolean, onQuit: () => void) {
    this.channel = channel
    this.isRaw = isRaw
    channel.on('error', ignore)
    channel.on('data', (chunk: Buffer) => {
      if (isRaw && chunk.some((byte) => QUIT.includes(byte))) onQuit()
    })
  }

  /** Writes `text` and ends the line. */
  print(text: string): void {
    const lines = `${text}\n`
    this.channel.write(this.isRaw ? lines.replaceAll('\n', '\r\n') : lines)
  }

  /** Closes the session, so that the client leaves. */
  exit(isFailure: boolean): void {
    this.channel.exit(isFailure ? EXIT_FAILURE : 0)
    this.channel.end()
  }
}

/** What frp prints when a tunnel is up (pkg/ssh/terminal.go). */
export function successText(user: string, proxyName: string, type: string, remoteAddr: string): string {
  const head = '\nfrp (via SSH) (Ctrl+C to quit)\n\n'
  return `${head}User: ${user}\nProxyName: ${proxyName}\nType: ${type}\nRemoteAddress: ${remoteAddr}\n`
}

function ignore(): void {
  // A client that closed its session before it could read; the tunnel goes on.
}
