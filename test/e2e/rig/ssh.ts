import { connect, type Socket } from 'node:net'
import ssh2, { type ClientChannel, type ConnectConfig } from 'ssh2'
import type { CleanUp } from '../client-rig.ts'

/** One `ssh -R :80:… v0@relay COMMAND`. */
export interface SshTunnel {
  client: InstanceType<typeof ssh2.Client>
  /** What the session shows, when the text is in there. */
  shows(text: string): Promise<string>
  /** The exit status, once the connection is over. */
  over: Promise<number | undefined>
  session: ClientChannel
}

export interface SshOptions extends ConnectConfig {
  command: string
  /** Takes what users bring; the channel is half-open. Absent: there is no service. */
  onUser?: (channel: ClientChannel, from: { srcIP: string; srcPort: number }) => void
}

/** Connects, asks for the forward and sends the command; rejects when the client is not let in. */
export function sshTunnel(
  cleanUp: CleanUp,
  port: number,
  { command, onUser, ...config }: SshOptions,
): Promise<SshTunnel> {
  const client = new ssh2.Client()
  cleanUp.add(() => void client.end())
  return new Promise((resolve, reject) => {
    let isEstablished = false
    client.on('error', (error) => {
      if (!isEstablished) reject(error)
    })
    client.on('close', () => reject(new Error('the relay closed the connection')))
    client.on('tcp connection', (from, accept, reject) => {
      if (onUser === undefined) reject()
      else onUser(accept(), from)
    })
    client.on('ready', () => {
      client.forwardIn('0.0.0.0', 80, (error) => error && reject(error))
      client.exec(command, (error, session) => {
        if (error) {
          reject(error)
          return
        }
        isEstablished = true
        resolve(tunnelOf(client, session))
      })
    })
    client.connect({ host: '127.0.0.1', port, username: 'v0', ...config })
  })
}

function tunnelOf(client: SshTunnel['client'], session: ClientChannel): SshTunnel {
  let text = ''
  let status: number | undefined
  const waiting = new Set<() => void>()
  const onChange = (): void => {
    for (const look of waiting) look()
  }
  session.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    onChange()
  })
  session.on('exit', (code: number) => {
    status = code
  })
  // As ssh does: the command is over.
  session.on('close', () => {
    if (status !== undefined) client.end()
  })
  const over = new Promise<number | undefined>((resolve) => client.once('close', () => resolve(status)))
  over.then(onChange, onChange)
  let isOver = false
  client.once('close', () => {
    isOver = true
  })
  const shows = (wanted: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (text.includes(wanted)) resolve(text)
        else if (isOver) reject(new Error(`over without ${JSON.stringify(wanted)}: ${JSON.stringify(text)}`))
      }
      waiting.add(look)
      look()
    })
  return { client, session, shows, over }
}

/** Carries a channel to a local port and back, half-close included. */
export function toPort(port: number): (channel: ClientChannel) => void {
  return (channel) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => channel.close())
    channel.pipe(socket).pipe(channel)
  }
}
