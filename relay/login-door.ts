import type { FrpsOptions } from '../config/frps.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'
import type { Runtime } from '../contract/runtime.ts'
import { FRP_VERSION } from '../contract/version.ts'
import { AeadStream } from '../protocol/frp/aead.ts'
import { CipherStream, encrypt } from '../protocol/frp/cipher.ts'
import type { WireProtocol } from '../protocol/frp/codec.ts'
import { edgefrpOf, type Feature, featuresOf } from '../protocol/frp/edgefrp-field.ts'
import type { MessageChannel } from '../protocol/frp/message-channel.ts'
import type { Login } from '../protocol/frp/messages.ts'
import { newRunId, publicIdOf } from '../protocol/frp/run-id.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { prefixed } from '../protocol/stream/prefixed.ts'
import { type Accounts, isAccount } from './accounts.ts'
import { ALWAYS_PASS, type Principal, type Verifier } from './auth.ts'
import type { Connection, OpenedStream } from './connection.ts'
import { Control, type ControlCipher, type ControlOptions, type ControlState } from './control.ts'
import { TAKE_OVER_INTERVAL_MS } from './limits.ts'
import type { LoginGuard } from './login-guard.ts'
import { LoginQueue } from './login-queue.ts'
import type { Registry } from './registry.ts'
import type { SavedControl } from './saved.ts'
import type { ServerPlugins } from './server-plugins.ts'
import { endSession } from './session-end.ts'
import type { Sleepers } from './sleepers.ts'
import { onVerdict } from './verdict.ts'

export interface LoginDoorOptions {
  runtime: Runtime
  options: FrpsOptions
  /** Who may log in. */
  accounts: Accounts
  guard: LoginGuard
  registry: Registry
  sleepers: Sleepers
  plugins: ServerPlugins
  /** What this relay speaks beyond frp. */
  features: readonly Feature[]
  proxies: Omit<ControlOptions['proxies'], 'accounts' | 'key'>
  /** The token is right; the login may still have to wait. */
  onVerified: (connection: Connection) => void
}

/** A login that was let in. */
interface Identified {
  /** As plugins have changed it. */
  asked: Login
  principal: Principal
}

/** Lets clients in: Login, its answer, and who owns a run id when two claim it. */
export class LoginDoor {
  private readonly options: LoginDoorOptions
  private readonly runtime: Runtime
  private readonly queue: LoginQueue
  private config: FrpsOptions
  private accounts: Accounts
  /** The control that owns a run id; a provisional newcomer is not in here. */
  private readonly byRunId = new Map<string, Control>()
  private readonly takenOverMs = new Map<string, number>()

  constructor(options: LoginDoorOptions) {
    this.options = options
    this.runtime = options.runtime
    this.config = options.options
    this.accounts = options.accounts
    this.queue = new LoginQueue(options.runtime, options.options.edgefrp.limits.loginsPerSecond)
  }

  /** Who may log in from now on, as `accountsAfter` makes it of who may now. */
  reload(options: FrpsOptions, accountsAfter: (before: Accounts) => Accounts): void {
    this.config = options
    this.accounts = accountsAfter(this.accounts)
    this.queue.allow(options.edgefrp.limits.loginsPerSecond)
    for (const control of [...this.options.registry.clients]) {
      const { principal, tokenId } = control.state
      // A new token of the relay is for whoever comes next: it is everybody's, and all would be cut off at once.
      const why = isAccount(principal) ? this.accounts.whyOver(principal, tokenId) : undefined
      if (why !== undefined) endSession(control, this.options.proxies.joins, why)
    }
  }

  get clientCount(): number {
    return this.byRunId.size
  }

  /** The client that owns a run id, woken if it sleeps. */
  owner(runId: string): Control | undefined {
    this.options.sleepers.wake([`run:${runId}`])
    return this.byRunId.get(runId)
  }

  /** frp: plugins are asked before the token is looked at, and may change the login. */
  open(connection: Connection, login: Login, opened: OpenedStream): void {
    onVerdict(
      this.runtime,
      () => {
        if (opened.wire === 'v2' && opened.suite === undefined) {
          throw new FrpError('WIRE_HELLO', 'missing v2 crypto negotiation')
        }
        this.checkFirst(connection)
        this.checkNames(login)
        return this.identify(connection, login)
      },
      ({ asked, principal }) => {
        // It may have been asked for elsewhere, and time went by.
        if (!connection.isOpen) return
        this.checkFirst(connection)
        // Only right tokens wait in line: wrong ones must not make it long.
        this.options.onVerified(connection)
        this.queue.enter(
          () => connection.isOpen,
          () => this.enter(connection, opened, asked, principal),
        )
      },
      (error) => this.refuse(connection, opened.channel, error),
    )
  }

  /** Who it is, and what is asked for: plugins come before the token, and may change the login. */
  private identify(connection: Connection, login: Login): Identified | Promise<Identified> {
    const { plugins } = this.options
    const { peer } = connection
    const verifier = this.verifierOf(connection)
    const verify = (asked: Login): Identified | Promise<Identified> => {
      const principal = verifier.verifyLogin(asked)
      if (principal instanceof Promise) return principal.then((found) => ({ asked, principal: found }))
      return { asked, principal }
    }
    if (!plugins.has('Login')) return verify(login)
    return plugins.login(login, formatAddress(peer.ip, peer.port)).then((changed) => {
      this.checkNames(changed)
      return verify(changed)
    })
  }

  /** Goes on with a client after sleep. Throws AUTH_FAILED: its token holds no longer, and with it the key of the stream. */
  revive(connection: Connection, saved: SavedControl, stream: ByteStream): Control {
    const why = this.accounts.whyOver(saved.state.principal, saved.state.tokenId)
    if (why !== undefined) throw why
    const control = new Control(saved.state, this.controlOptions(connection, saved.state.principal))
    if (!saved.state.isProvisional) this.byRunId.set(saved.state.runId, control)
    this.options.registry.clientJoined(control, true)
    control.revive(this.revivedCipher(stream, control, saved), saved)
    return control
  }

  private enter(connection: Connection, opened: OpenedStream, login: Login, principal: Principal): void {
    const { channel } = opened
    const { peer } = connection
    const { log } = this.runtime
    try {
      this.checkOnline(login)
    } catch (error) {
      this.refuse(connection, channel, error)
      return
    }
    log.info(
      `client login info: ip [${formatAddress(peer.ip, peer.port)}] version [${login.version}] ` +
        `hostname [${login.hostname}] os [${login.os}] arch [${login.arch}]`,
    )
    const state = this.newState(login, principal, opened.wire)
    const control = new Control(state, this.controlOptions(connection, principal))
    connection.control = control
    connection.accepted()
    if (!state.isProvisional) this.byRunId.set(state.runId, control)
    this.options.registry.clientJoined(control)
    channel.send({
      type: 'LoginResp',
      version: FRP_VERSION,
      run_id: state.runId,
      edgefrp: edgefrpOf(this.options.features),
    })
    const { stream, head } = channel.detach()
    control.start(this.cipher(prefixed(stream, head), control, opened))
  }

  /** What encrypts the messages after LoginResp: it comes from the token that was used. */
  private cipher(stream: ByteStream, { state }: Control, { suite }: OpenedStream): ControlCipher {
    const { crypto } = this.runtime
    const { accounts } = this
    return suite === undefined
      ? encrypt(stream, accounts.keyOf(state.principal), crypto)
      : new AeadStream(stream, suite, accounts.tokenOf(state.principal), 'server', crypto)
  }

  private revivedCipher(stream: ByteStream, { state }: Control, { cipher }: SavedControl): ControlCipher {
    const { crypto } = this.runtime
    const { accounts } = this
    return state.wireProtocol === 'v2'
      ? AeadStream.restore(stream, accounts.tokenOf(state.principal), 'server', crypto, cipher)
      : CipherStream.restore(stream, accounts.keyOf(state.principal), crypto, cipher)
  }

  private refuse(connection: Connection, channel: MessageChannel, error: unknown): void {
    const { ip, port } = connection.peer
    const { isThrottled, report } = this.options.guard.failed(ip)
    if (report > 0) {
      const times = report > 1 ? ` (${report} times from this address since the last line)` : ''
      this.runtime.log.warn(`client [${formatAddress(ip, port)}] register control error: ${messageOf(error)}${times}`)
    }
    if (isThrottled) {
      connection.close(new FrpError('LOGIN_THROTTLED', `too many failed logins from ${ip}`))
      return
    }
    const text = this.config.detailedErrorsToClient ? messageOf(error) : 'register control error'
    channel.send({ type: 'LoginResp', version: FRP_VERSION, error: text })
    channel.end()
  }

  private checkFirst(connection: Connection): void {
    if (connection.control !== undefined) throw new FrpError('LOGIN_REFUSED', 'second login on one connection')
  }

  private checkNames(login: Login): void {
    const max = this.config.edgefrp.limits.maxNameLength
    for (const field of ['user', 'client_id', 'run_id'] as const) {
      const { length } = login[field]
      if (length > max) throw new FrpError('LIMIT', `${field} has ${length} characters, the limit is ${max}`)
      if (/\p{Cc}/u.test(login[field])) {
        throw new FrpError('LOGIN_REFUSED', `${field} contains control characters`)
      }
    }
  }

  private checkOnline(login: Login): void {
    if (login.client_id === '') return
    for (const control of this.options.registry.clients) {
      const other = control.state.login
      const isSame = other.client_id === login.client_id && other.user === login.user
      if (isSame && control.state.runId !== login.run_id) {
        throw new FrpError('LOGIN_REFUSED', `client_id [${login.client_id}] for user [${login.user}] is already online`)
      }
    }
  }

  /** A run id that this relay does not know, or that is somebody else's, becomes a new one. */
  private newState(login: Login, principal: Principal, wireProtocol: WireProtocol): ControlState {
    const { crypto } = this.runtime
    const owner = login.run_id === '' ? undefined : this.owner(login.run_id)
    const isSame =
      owner !== undefined &&
      owner.state.principal.identity === principal.identity &&
      owner.state.principal.user === principal.user
    const runId = isSame ? login.run_id : newRunId(crypto)
    return {
      runId,
      publicId: publicIdOf(runId, crypto),
      principal,
      tokenId: this.accounts.tokenIdOf(principal),
      login,
      wireProtocol,
      poolCount: Math.max(0, Math.min(login.pool_count, this.config.transport.maxPoolCount)),
      features: this.options.features.filter((feature) => featuresOf(login).has(feature)),
      loggedInMs: this.runtime.nowMs(),
      lastPingMs: this.runtime.monotonicMs(),
      isProvisional: isSame,
      proxies: [],
    }
  }

  /** The newcomer has the token: the older session of the same run id ends. */
  private takeOver(control: Control): void {
    const { runId, publicId } = control.state
    const now = this.runtime.monotonicMs()
    const last = this.takenOverMs.get(runId)
    if (last !== undefined && now - last < TAKE_OVER_INTERVAL_MS) {
      // Two clients with one run id would replace each other for ever, as fast as they can log in.
      control.connection.close(new FrpError('LOGIN_REFUSED', 'this run id was taken over a moment ago'))
      return
    }
    this.takenOverMs.set(runId, now)
    const old = this.owner(runId)
    this.byRunId.set(runId, control)
    if (old === undefined || old === control) return
    old.log.info(`replaced by client [${publicId}]`)
    old.close(new FrpError('SESSION_ENDED', 'replaced by a newer session'))
  }

  private forget(control: Control): void {
    this.options.registry.clientLeft(control)
    const { runId } = control.state
    if (this.byRunId.get(runId) !== control) return
    this.byRunId.delete(runId)
    this.takenOverMs.delete(runId)
  }

  private verifierOf({ peer }: Connection): Verifier {
    return peer.alwaysAuthPass === true ? ALWAYS_PASS : this.accounts
  }

  private controlOptions(connection: Connection, principal: Principal): ControlOptions {
    const { config: options, accounts } = this
    const heartbeatSeconds = options.transport.heartbeatTimeout
    return {
      runtime: this.runtime,
      log: this.runtime.log,
      verifier: this.verifierOf(connection),
      connection,
      heartbeatTimeoutMs: heartbeatSeconds > 0 ? heartbeatSeconds * 1000 : undefined,
      userConnTimeoutMs: options.userConnTimeout * 1000,
      isDetailed: options.detailedErrorsToClient,
      proxies: { ...this.options.proxies, accounts: () => this.accounts, key: accounts.keyOf(principal) },
      plugins: this.options.plugins,
      onProved: (proved) => this.takeOver(proved),
      onClose: (closed) => this.forget(closed),
    }
  }
}
