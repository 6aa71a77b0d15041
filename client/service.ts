import type { FrpcOptions, ServerOptions } from '../config/frpc.ts'
import type { ProxyOptions } from '../config/proxies.ts'
import { asError, codeOf, FrpError, messageOf } from '../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../contract/runtime.ts'
import { publicIdOf } from '../protocol/frp/run-id.ts'
import { BackOff } from './back-off.ts'
import { Connector } from './connector.ts'
import { Control } from './control.ts'
import { type Credentials, credentialsOf } from './credentials.ts'
import { keepAliveTimes } from './keep-alive-times.ts'
import { login } from './login.ts'
import { pause } from './pause.ts'
import { ANSWER_MS } from './proxies/proxy.ts'
import { messageWithRemedy } from './remedy.ts'
import { RunIds } from './run-ids.ts'

/** Users that the old relay let in before it read our CloseProxy still get their work connection. */
const DRAIN_MS = 2_000

interface Server extends ServerOptions {
  /** `address:port`, under which its run id is kept. */
  key: string
  credentials: Credentials
  /** Where its keys stand in the file. */
  path: string
}

/** A session, where it leads, and since when. */
interface Active {
  control: Control
  server: Server
  startedMs: number
}

/** Keeps one session with a relay up: logs in, backs off, goes to a fallback server and back (frp: client/service.go). */
export class Service {
  /** Told which session serves from now on; undefined: none does. */
  onControl: ((control: Control | undefined) => void) | undefined
  private readonly options: FrpcOptions
  private readonly runtime: Runtime
  private readonly random: () => number
  private readonly servers: readonly Server[]
  private readonly runIds: RunIds
  private readonly backOff: BackOff
  private readonly stopping = new AbortController()
  private readonly warned = new Set<string>()
  private readonly draining = new Set<Control>()
  private proxies: readonly ProxyOptions[]
  private log: Log
  private current: Active | undefined
  /** Logged in at the first server while a fallback still serves. */
  private candidate: Active | undefined
  private primaryCheck: Deadline | undefined
  private finish: ((error?: Error) => void) | undefined

  /** `random` answers uniformly from [0, 1). */
  constructor(options: FrpcOptions, runtime: Runtime, random: () => number = Math.random) {
    this.options = options
    this.runtime = runtime
    this.random = random
    this.proxies = options.proxies
    this.log = runtime.log
    this.servers = [options, ...options.edgefrp.fallbackServers].map((server, index) => ({
      path: index === 0 ? '' : `edgefrp.fallbackServers[${index - 1}].`,
      serverAddr: server.serverAddr,
      serverPort: server.serverPort,
      auth: server.auth,
      credentials: credentialsOf(server.auth, runtime),
      transport: server.transport,
      key: `${server.serverAddr}:${server.serverPort}`,
    }))
    this.runIds = new RunIds(options.edgefrp.stateFile || undefined, (message) => runtime.log.warn(message))
    this.backOff = new BackOff(random)
  }

  /** Runs until `close`. Rejects when the first login fails and `loginFailExit` is set. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.finish = (error) => (error === undefined ? resolve() : reject(error))
      void this.connect(this.options.loginFailExit)
    })
  }

  /** The session that serves now. */
  get control(): Control | undefined {
    return this.current?.control
  }

  /** The address of the server that serves now, else of the first one. */
  get serverAddr(): string {
    return (this.current?.server ?? this.options).serverAddr
  }

  /** Starts what is new, stops what is gone, restarts what changed, now and in every session to come. */
  update(proxies: readonly ProxyOptions[]): void {
    this.proxies = proxies
    this.current?.control.manager.update(proxies)
    this.candidate?.control.manager.update(proxies)
  }

  close(): void {
    if (this.isClosed) return
    this.stopping.abort(new FrpError('SESSION_ENDED', 'the client is closing'))
    this.primaryCheck?.cancel()
    for (const control of [this.current?.control, this.candidate?.control, ...this.draining]) control?.close()
    this.finish?.()
  }

  private get isClosed(): boolean {
    return this.stopping.signal.aborted
  }

  /** Tries all servers in their order, with a pause after each round, until one lets us in. */
  private async connect(isExitOnFailure: boolean): Promise<void> {
    while (!this.isClosed) {
      const result = await this.loginAtFirstThatAnswers()
      if (this.isClosed) return
      if (!(result instanceof Error)) {
        this.serve(result)
        return
      }
      if (isExitOnFailure) {
        const text = `login to the server failed: ${result.message}. With loginFailExit enabled, no additional retries will be attempted`
        this.finish?.(new FrpError('LOGIN_REFUSED', text, { cause: result }))
        this.close()
        return
      }
      await pause(this.backOff.afterFailure(isRefused(result)), this.runtime, this.stopping.signal)
    }
  }

  private async loginAtFirstThatAnswers(): Promise<Active | Error> {
    let first: Error | undefined
    for (const server of this.servers) {
      this.log.info(
        server === this.servers[0] ? 'try to connect to server...' : `try to connect to server... [${server.key}]`,
      )
      try {
        return await this.login(server)
      } catch (error) {
        if (!this.isClosed) this.log.warn(`connect to server error: ${messageWithRemedy(error)}`)
        first ??= asError(error)
      }
      if (this.isClosed) break
    }
    return first ?? new Error('no server is configured')
  }

  private async login(server: Server): Promise<Active> {
    // Before the connection, which a relay does not hold open for long without a login.
    const proof = await server.credentials.forLogin()
    if (this.isClosed) throw new FrpError('SESSION_ENDED', 'the client is closing')
    const connector = new Connector(server, this.options, this.runtime)
    const carrier = await connector.connect(this.stopping.signal)
    // Before the login shows anything of ours, and not beside the reason why nobody is there.
    this.warnOnce(connector.warnings)
    let lost: Error | undefined
    carrier.onClose = (error) => {
      lost = error
    }
    try {
      const stream = await carrier.open()
      const accepted = await login(stream, server, this.options, proof, this.runIds.get(server.key), this.runtime)
      if (this.isClosed) throw new FrpError('SESSION_ENDED', 'the client is closing')
      this.runIds.set(server.key, accepted.runId)
      const id = publicIdOf(accepted.runId, this.runtime.crypto)
      this.log = this.runtime.log.child(id)
      this.log.info(`login to server success, get run id [${id}]`)
      const keepAlive = keepAliveTimes(this.options.given, server, server.path, accepted.features)
      if (keepAlive !== undefined) carrier.keepAlive(keepAlive)
      const control: Control = new Control({
        runtime: this.runtime,
        log: this.log,
        options: this.options,
        server,
        credentials: server.credentials,
        carrier,
        accepted,
        onClose: (error) => this.ended(control, error),
        onChange: () => this.changed(),
      })
      return { control, server, startedMs: this.runtime.monotonicMs() }
    } catch (error) {
      if (codeOf(error) === 'LOGIN_REFUSED') server.credentials.refused()
      carrier.close()
      // What broke the connection says more than that its streams are over.
      throw lost ?? error
    }
  }

  private serve(active: Active): void {
    this.current = active
    active.control.start(this.proxies)
    this.onControl?.(this.control)
    this.checkPrimaryLater()
  }

  private ended(control: Control, error: Error | undefined): void {
    if (this.draining.delete(control) || this.isClosed) return
    if (this.candidate?.control === control) {
      this.candidate = undefined
      this.checkPrimaryLater()
      return
    }
    if (this.current?.control !== control) return
    const livedMs = this.runtime.monotonicMs() - this.current.startedMs
    this.log.warn(`session ended: ${error === undefined ? 'closed' : messageOf(error)}`)
    this.current = this.candidate
    this.candidate = undefined
    this.primaryCheck?.cancel()
    this.onControl?.(this.control)
    if (this.current !== undefined) return
    void this.reconnect(this.backOff.afterSession(livedMs))
  }

  private async reconnect(delayMs: number): Promise<void> {
    if (delayMs > 0) await pause(delayMs, this.runtime, this.stopping.signal)
    await this.connect(false)
  }

  // --- back to the first server ---

  private checkPrimaryLater(): void {
    this.primaryCheck?.cancel()
    if (this.current === undefined || this.current.server === this.servers[0] || this.isClosed) return
    // Spread, so that not all clients of a relay that is back come in one instant.
    const delayMs = this.options.edgefrp.fallbackCheckSeconds * 1000 * (0.8 + 0.4 * this.random())
    this.primaryCheck = this.runtime.after(delayMs, () => void this.checkPrimary())
  }

  private async checkPrimary(): Promise<void> {
    const [primary] = this.servers
    if (primary === undefined || this.isClosed) return
    try {
      const active = await this.login(primary)
      // The fallback may have gone meanwhile, and the first server taken over by the ordinary way.
      if (this.isClosed || this.current?.server === primary) {
        active.control.close()
        return
      }
      if (this.current === undefined) return this.serve(active)
      this.candidate = active
      active.control.start(this.proxies)
      this.runtime.after(ANSWER_MS, () => this.promote(active))
      this.changed()
    } catch (error) {
      this.log.debug(`the first server does not answer: ${messageOf(error)}`)
      this.checkPrimaryLater()
    }
  }

  private changed(): void {
    const { candidate } = this
    if (candidate?.control.manager.isSettled === true) this.promote(candidate)
    for (const control of [...this.draining]) {
      if (control.isDrained) control.close()
    }
  }

  /** The first server serves again: users come there now, those at the fallback may finish. */
  private promote(active: Active): void {
    if (this.candidate !== active) return
    const old = this.current?.control
    this.candidate = undefined
    this.current = active
    this.log.info(`back at the first server [${active.server.key}]`)
    this.onControl?.(active.control)
    if (old === undefined) return
    this.draining.add(old)
    old.drain(DRAIN_MS, () => this.changed())
  }

  private warnOnce(lines: readonly string[]): void {
    for (const line of lines) {
      if (this.warned.has(line)) continue
      this.warned.add(line)
      this.log.warn(line)
    }
  }
}

function isRefused({ cause }: Error): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ECONNREFUSED'
}
