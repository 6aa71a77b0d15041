import type { VisitorOptions } from '../../config/visitors.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
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
  private readonly waiting = new Set<() => void>()
  private keeping: Deadline | undefined
  /** Tries of `keepTunnelOpen` within the last hour, monotonic ms. */
  private kept: number[] = []
  private isClosed = false

  constructor(parts: TunnelParts) {
    this.parts = parts
    if (parts.options.keepTunnelOpen) this.keepOpen()
  }

  /** A stream through the tunnel. Rejects with TIMEOUT when there is none in time. */
  async open(waitMs: number): Promise<ByteStream> {
    if (this.connection === undefined) await this.wait(waitMs)
    if (this.connection === undefined) throw new FrpError('TIMEOUT', 'open tunnel timeout')
    return this.connection.open()
  }

  close(): void {
    this.isClosed = true
    this.keeping?.cancel()
    this.connection?.close()
    this.wake()
  }

  private wait(waitMs: number): Promise<void> {
    this.tryNow()
    return new Promise((resolve) => {
      const settle = (): void => {
        deadline.cancel()
        this.waiting.delete(settle)
        resolve()
      }
      const deadline = this.parts.runtime.after(waitMs, settle)
      this.waiting.add(settle)
      if (this.isClosed) settle()
    })
  }

  private wake(): void {
    for (const settle of [...this.waiting]) settle()
  }

  private tryNow(): void {
    const nowMs = this.parts.runtime.monotonicMs()
    if (this.isClosed || this.making !== undefined || nowMs - this.lastTryMs < BETWEEN_TRIES_MS) return
    this.lastTryMs = nowMs
    this.making = this.make()
      .catch((error: unknown) => {
        if (!this.isClosed) this.parts.log.warn(`make tunnel error: ${messageOf(error)}`)
      })
      .finally(() => {
        this.making = undefined
      })
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
    this.wake()
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
