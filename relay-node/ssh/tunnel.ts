import type { Socket } from 'node:net'
import type { Connection, Session } from 'ssh2'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import type { StartWorkConn } from '../../protocol/frp/messages.ts'
import type { ByteStream, Link } from '../../protocol/stream/byte-stream.ts'
import { join } from '../../protocol/stream/join.ts'
import type { PeerInfo } from '../../relay/ingress.ts'
import { Carrier } from './carrier.ts'
import { ChannelStream } from './channel-stream.ts'
import { readCommand, type TunnelCommand } from './command.ts'
import { successText, Terminal } from './terminal.ts'
import { VirtualClient } from './virtual-client.ts'

/** frp pkg/ssh/server.go: from the login to both the -R request and the command. */
const REQUEST_MS = 3_000
/** From there to a proxy that runs: logins may wait in line, and a name's old owner is asked for 2 s. */
const START_MS = 10_000
/** How long a client may take to leave after the last text. */
const GOODBYE_MS = 1_000
/** OpenSSH's MaxSessions. */
const MAX_SESSIONS = 10
/** What `-R 0:…` is told to have got: ssh wants a number, and the port that counts is the proxy's. */
const UNNAMED_PORT = 80

export interface TunnelOptions {
  runtime: Runtime
  peer: PeerInfo
  /** Hands the relay a connection of the tunnel's client. */
  connect: (link: Link, peer: PeerInfo) => void
  /** The relay's own token, for clients that a key let in; undefined: the command has to bring it. */
  token: string | undefined
  /** The name that the key stands for; "": what the command says. */
  user: string
  heartbeatTimeoutMs: number | undefined
  maxStreams: number
  maxHeldBytes: number
  /** Why it ended, for the log, in frp's words. */
  onFailure: (text: string) => void
}

/** Where the ssh client wants its connections to come from: the -R request. */
interface Forward {
  address: string
  port: number
}

/** One ssh connection that is let in: an -R request and a command, then one proxy until it closes. */
export class Tunnel {
  private readonly client: Connection
  private readonly options: TunnelOptions
  private readonly log: Log
  private readonly carrier: Carrier
  private forward: Forward | undefined
  private command: string | undefined
  private terminal: Terminal | undefined
  private virtual: VirtualClient | undefined
  private sessions = 0
  private isUp = false
  private isOver = false
  private deadline: Deadline

  constructor(client: Connection, socket: Socket, options: TunnelOptions) {
    this.client = client
    this.options = options
    this.log = options.runtime.log
    this.carrier = new Carrier(socket, client, options.maxHeldBytes)
    this.deadline = options.runtime.after(REQUEST_MS, () => {
      this.fail('get addr and extra payload timeout', 'get addr and extra payload timeout')
    })
    client.on('request', (accept, _reject, name, info) => {
      // frp says yes to every request; only the first -R counts.
      accept?.(UNNAMED_PORT)
      if (name !== 'tcpip-forward' || this.forward !== undefined || !('bindPort' in info)) return
      this.forward = { address: info.bindAddr, port: info.bindPort === 0 ? UNNAMED_PORT : info.bindPort }
      this.startIfAsked()
    })
    client.on('session', (accept, reject) => {
      this.sessions += 1
      if (this.sessions > MAX_SESSIONS) reject()
      else this.onSession(accept())
    })
  }

  /** The ssh connection is gone. */
  closed(): void {
    this.carrier.cut()
    if (this.isUp) this.log.trace(`ssh tunnel connection from ${this.options.peer.ip} closed`)
    this.over()
  }

  private onSession(session: Session): void {
    // ssh2 knows its sessions by the name of their class, which a bundler may have changed.
    Object.defineProperty(session.constructor, 'name', { value: 'Session' })
    let isRaw = false
    session.on('pty', (accept) => {
      isRaw = true
      accept?.()
    })
    for (const name of ['env', 'signal', 'window-change']) {
      session.on(name, (accept?: () => void) => accept?.())
    }
    session.on('shell', (accept) => {
      // Without a command; the time runs out, and there is somewhere to say so.
      this.terminal ??= new Terminal(accept(), isRaw, () => this.client.end())
    })
    session.on('exec', (accept, _reject, { command }) => {
      const terminal = new Terminal(accept(), isRaw, () => this.client.end())
      if (this.command !== undefined || command === '') return
      this.terminal = terminal
      this.command = command
      this.startIfAsked()
    })
  }

  private startIfAsked(): void {
    if (this.forward === undefined || this.command === undefined || this.isOver) return
    this.deadline.cancel()
    try {
      const command = readCommand(this.command, this.options.runtime.crypto)
      if ('help' in command) {
        this.terminal?.print(command.help)
        this.leave(false)
      } else this.start(command, this.forward)
    } catch (error) {
      this.fail(messageOf(error), `parse flags from ssh client error: ${messageOf(error)}`)
    }
  }

  private start(command: TunnelCommand, forward: Forward): void {
    const { runtime, peer, connect, token, heartbeatTimeoutMs } = this.options
    const { proxyName, type } = command
    const user = this.options.user === '' ? command.user : this.options.user
    this.deadline = runtime.after(START_MS, () => {
      this.fail('wait proxy status ready timeout', 'wait proxy status ready error: wait proxy status ready timeout')
    })
    this.virtual = new VirtualClient({
      runtime,
      connect: (link) => connect(link, peer),
      token: token ?? command.token,
      heartbeatTimeoutMs,
      login: {
        user,
        client_id: command.clientId,
        client_spec: { type: 'ssh-tunnel', always_auth_pass: token !== undefined },
      },
      proxy: { ...command.proxy, proxy_name: user === '' ? proxyName : `${user}.${proxyName}` },
      onStarted: (remoteAddr) => {
        this.isUp = true
        this.deadline.cancel()
        this.terminal?.print(successText(user, proxyName, type, remoteAddr))
      },
      onUser: (work, start) => this.serve(work, start, forward),
      onEnd: (text) => this.fail(text, this.isUp ? text : `wait proxy status ready error: ${text}`),
    })
    this.virtual.start()
  }

  /** A user: asks the ssh client for a connection to its service. */
  private serve(work: ByteStream, start: StartWorkConn, { address, port }: Forward): void {
    const { maxStreams } = this.options
    if (this.carrier.size >= maxStreams) {
      work.destroy(new FrpError('LIMIT', `${maxStreams} channels of one ssh client`))
      return
    }
    // frp tells the client its own address here; the user's is what it is for.
    const [sourceIp, sourcePort] = start.src_addr === '' ? [address, port] : [start.src_addr, start.src_port]
    work.pause()
    this.client.forwardOut(address, port, sourceIp, sourcePort, (error, channel) => {
      if (error !== undefined) {
        this.log.trace(`open conn error: ${messageOf(error)}`)
        work.destroy(new FrpError('CONNECT_FAILED', messageOf(error)))
        return
      }
      join(work, new ChannelStream(channel, this.carrier))
      work.resume()
    })
  }

  private fail(told: string, logged: string): void {
    if (this.isOver) return
    this.options.onFailure(`ssh tunnel server run error: ${logged}`)
    this.terminal?.print(told)
    this.leave(true)
  }

  private leave(isFailure: boolean): void {
    this.over()
    if (this.terminal === undefined) {
      this.client.end()
      return
    }
    // By itself, so that it has read all and leaves with the status.
    this.terminal.exit(isFailure)
    this.deadline = this.options.runtime.after(GOODBYE_MS, () => this.client.end())
  }

  private over(): void {
    this.isOver = true
    this.deadline.cancel()
    this.virtual?.close()
  }
}
