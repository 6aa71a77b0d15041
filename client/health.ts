import { request } from 'node:http'
import { connect } from 'node:net'
import type { ProxyOptions } from '../config/proxies.ts'
import { messageOf } from '../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../contract/runtime.ts'

/**
 * Asks a local service in intervals whether it is well (frp, client/health). Failures count until a success:
 * frp counts them for ever, so that after the first few every single one takes the proxy down.
 */
export class HealthMonitor {
  private readonly config: ProxyOptions
  private readonly runtime: Runtime
  private readonly log: Log
  private readonly onChange: (isHealthy: boolean) => void
  private isHealthy = false
  private failures = 0
  private next: Deadline | undefined
  private cancelCheck: (() => void) | undefined
  private isStopped = false

  /** A monitor if the proxy has a health check and a port to check, as in frp. */
  static of(
    config: ProxyOptions,
    runtime: Runtime,
    log: Log,
    onChange: (isHealthy: boolean) => void,
  ): HealthMonitor | undefined {
    if (config.healthCheck.type === '' || config.localPort <= 0) return undefined
    return new HealthMonitor(config, runtime, log, onChange)
  }

  constructor(config: ProxyOptions, runtime: Runtime, log: Log, onChange: (isHealthy: boolean) => void) {
    this.config = config
    this.runtime = runtime
    this.log = log
    this.onChange = onChange
  }

  start(): void {
    if (this.isStopped) return
    const { timeoutSeconds } = this.config.healthCheck
    let isDone = false
    const done = (error?: string): void => {
      if (isDone) return
      isDone = true
      deadline.cancel()
      this.cancelCheck?.()
      this.cancelCheck = undefined
      this.checked(error)
    }
    const deadline = this.runtime.after(timeoutSeconds * 1000, () => done(`no answer within ${timeoutSeconds} s`))
    this.cancelCheck = this.config.healthCheck.type === 'http' ? this.checkHttp(done) : this.checkTcp(done)
  }

  stop(): void {
    this.isStopped = true
    this.next?.cancel()
    this.cancelCheck?.()
  }

  private checked(error: string | undefined): void {
    if (this.isStopped) return
    if (error === undefined) {
      this.failures = 0
      if (!this.isHealthy) this.changed(true)
    } else {
      this.failures += 1
      this.log.trace(`do one health check failed: ${error}`)
      if (this.isHealthy && this.failures >= this.config.healthCheck.maxFailed) this.changed(false)
    }
    this.next = this.runtime.after(this.config.healthCheck.intervalSeconds * 1000, () => this.start())
  }

  private changed(isHealthy: boolean): void {
    this.isHealthy = isHealthy
    this.onChange(isHealthy)
  }

  private checkTcp(done: (error?: string) => void): () => void {
    const socket = connect({ host: this.config.localIP, port: this.config.localPort })
    socket.once('connect', () => done())
    socket.on('error', (error) => done(messageOf(error)))
    return () => socket.destroy()
  }

  private checkHttp(done: (error?: string) => void): () => void {
    const { healthCheck, localIP, localPort } = this.config
    const headers: Record<string, string> = {}
    for (const { name, value } of healthCheck.httpHeaders) headers[name] = value
    const path = healthCheck.path.startsWith('/') ? healthCheck.path : `/${healthCheck.path}`
    const check = request({ host: localIP, port: localPort, path, headers, agent: false }, (response) => {
      const status = response.statusCode ?? 0
      response.resume()
      done(Math.floor(status / 100) === 2 ? undefined : `status code is [${status}]`)
    })
    check.on('error', (error) => done(messageOf(error)))
    check.end()
    return () => check.destroy()
  }
}
