import type { VisitorOptions } from '../../config/visitors.ts'
import { asError, FrpError, messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import type { Quic, QuicConnection } from '../../node/quic.ts'
import { privilegeKey } from '../../protocol/frp/token.ts'
import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import type { NatHoleLine } from './nat-hole-line.ts'
import { prepare } from './prepare.ts'
import { makeHole } from './punch.ts'

/** frp, client/visitor/xtcp.go: a hole is tried for at most this often. */
const BETWEEN_TRIES_MS = 10_000
const HOUR_MS = 3_600_000

export interface TunnelParts {
  options: Extract<VisitorOptions, { type: 'xtcp' }>
  /** `user.name` of the proxy. */
  proxyName: string
  stunServer: string
  quic: Quic
  runtime: Runtime
  log: Log
  /** The control connection of the session; waits while there is none. */
  line(): Promise<NatHoleLine>
}

/** The tunnel of one xtcp visitor to the proxy's client, made when somebody needs it (frp: client/visitor/xtcp.go). */
export class VisitorTunnel {
  private readonly parts: TunnelParts
  private connection: QuicConnection | undefined
  private making: Promise<void> | undefined
  private lastTryMs = Number.NEGATIVE_INFINITY
  /** Why there is none, after a try that failed. */
  private failure: Error | undefined
  /** With whether they wait for further tries too. */
  private readonly waiting = new Map<() => void, boolean>()
  private retry: Deadline | undefined
  private keeping: Deadline | undefined
  /** Tries of `keepTunnelOpen` within the last hour, monotonic ms. */
  private kept: number[] = []
  private isClosed = false

  constructor(parts: TunnelParts) {
    this.parts = parts
    if (parts.options.keepTunnelOpen) this.keepOpen()
  }

  /**
   * A stream through the tunnel. Rejects when there is none in time; where somebody has another way (`isPatient`
   * false) as soon as a try has failed.
   */
  async open(waitMs: number, isPatient: boolean): Promise<ByteStream> {
    if (this.connection === undefined) await this.wait(waitMs, isPatient)
    if (this.connection === undefined) throw this.failure ?? new FrpError('TIMEOUT', 'open tunnel timeout')
    return this.connection.open()
  }

  close(): void {
    this.isClosed = true
    this.keeping?.cancel()
    this.retry?.cancel()
    this.connection?.close()
    for (const settle of [...this.waiting.keys()]) settle()
  }

  private wait(waitMs: number, isPatient: boolean): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        deadline.cancel()
        this.waiting.delete(settle)
        resolve()
      }
      const deadline = this.parts.runtime.after(waitMs, settle)
      this.waiting.set(settle, isPatient)
      this.tryNow()
      if (this.isClosed) settle()
    })
  }

  private tryNow(): void {
    const { runtime, log } = this.parts
    if (this.isClosed || this.making !== undefined) return
    const nowMs = runtime.monotonicMs()
    if (nowMs - this.lastTryMs < BETWEEN_TRIES_MS) {
      this.tried()
      return
    }
    this.lastTryMs = nowMs
    this.failure = undefined
    this.making = this.make()
      .catch((error: unknown) => {
        this.failure = asError(error)
        if (!this.isClosed) log.warn(`make tunnel error: ${messageOf(error)}`)
      })
      .finally(() => {
        this.making = undefined
        this.tried()
      })
  }

  /** A try is over, or may not be made yet: who has another way takes it, the others wait for the next one. */
  private tried(): void {
    const isThere = this.connection !== undefined
    for (const [settle, isPatient] of [...this.waiting]) if (isThere || !isPatient) settle()
    if (this.waiting.size === 0 || this.isClosed) return
    this.retry?.cancel()
    const { runtime } = this.parts
    const delayMs = this.lastTryMs + BETWEEN_TRIES_MS - runtime.monotonicMs()
    this.retry = runtime.after(Math.max(0, delayMs), () => this.tryNow())
  }

  private async make(): Promise<void> {
    const { options, proxyName, stunServer, quic, runtime, log } = this.parts
    const line = await this.parts.line()
    await line.ask({ type: 'NatHoleVisitor', proxy_name: proxyName, pre_check: true })
    const { mapped, assisted, localPort } = await prepare(
      stunServer,
      options.natTraversal.disableAssistedAddrs,
      runtime,
    )
    log.info(`nathole prepare success, addresses: [${mapped.join(' ')}], assistedAddresses: [${assisted.join(' ')}]`)
    const timestamp = Math.floor(runtime.nowMs() / 1000)
    const answer = await line.ask({
      type: 'NatHoleVisitor',
      proxy_name: proxyName,
      protocol: options.protocol,
      sign_key: privilegeKey(runtime.crypto, options.secretKey, timestamp),
      timestamp,
      mapped_addrs: mapped,
      assisted_addrs: assisted,
    })
    const hole = await makeHole(localPort, answer, options.secretKey, runtime)
    log.info(`establishing nat hole connection successful, sid [${answer.sid}], remoteAddr [${hole.ip}:${hole.port}]`)
    const connection = await quic.connect(hole.localPort, hole.ip, hole.port)
    if (this.isClosed) {
      connection.close()
      return
    }
    connection.onClose = () => {
      log.info('tunnel closed')
      if (this.connection === connection) this.connection = undefined
    }
    this.connection = connection
  }

  private keepOpen(): void {
    const { options, runtime } = this.parts
    const nowMs = runtime.monotonicMs()
    this.kept = this.kept.filter((atMs) => nowMs - atMs < HOUR_MS)
    if (this.connection === undefined && this.kept.length < options.maxRetriesAnHour) {
      this.kept.push(nowMs)
      this.tryNow()
    }
    this.keeping = runtime.after(Math.max(1, options.minRetryInterval) * 1000, () => this.keepOpen())
  }
}
