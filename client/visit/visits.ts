import type { FrpcOptions } from '../../config/frpc.ts'
import type { VisitOptions } from '../../config/visits.ts'
import { messageOf } from '../../contract/errors.ts'
import type { Deadline, Log, Runtime } from '../../contract/runtime.ts'
import { Service } from '../service.ts'
import { visitorOptions, visitorOptionsAt } from './options.ts'
import { StrangerWay } from './stranger-way.ts'
import { TcpVisit } from './tcp.ts'
import { UdpVisit } from './udp.ts'
import { LoggedInWay, type Way } from './way.ts'

/** frp, client/visitor/visitor_manager.go: how often a local port that was taken is tried again. */
const RETRY_MS = 10_000

/** The visits of a file: a local port each, over the client's own session or one to another relay. */
export class Visits {
  private readonly options: FrpcOptions
  private readonly runtime: Runtime
  private readonly own: Way
  /** Those made here. */
  private readonly ways = new Set<Way>()
  /** Sessions with other relays, by server and token. */
  private readonly elsewhere = new Map<string, { way: LoggedInWay; service: Service }>()
  private readonly visits = new Set<TcpVisit | UdpVisit>()
  private readonly retries = new Set<Deadline>()
  private isClosed = false

  /** `own` leads over the client's own session. */
  constructor(options: FrpcOptions, own: Way, runtime: Runtime) {
    this.options = options
    this.own = own
    this.runtime = runtime
  }

  start(): void {
    for (const visit of this.options.edgefrp.visits) {
      const log = this.runtime.log.child(visit.name)
      void this.listen(visit, this.wayOf(visit), log)
    }
  }

  close(): void {
    this.isClosed = true
    for (const retry of this.retries) retry.cancel()
    for (const visit of this.visits) visit.close()
    for (const way of this.ways) way.close()
    for (const { service } of this.elsewhere.values()) service.close()
  }

  private async listen(options: VisitOptions, way: Way, log: Log): Promise<void> {
    const { type, port, visitKey, bindAddr, bindPort } = options
    const target = { type, port, visitKey }
    const visit = type === 'tcp' ? new TcpVisit(target, way, log) : new UdpVisit(target, way, this.runtime, log)
    try {
      const bound = await visit.listen(bindAddr, bindPort)
      if (this.isClosed) visit.close()
      else this.visits.add(visit)
      log.info(`visit of ${type} port ${port}: listen on ${bindAddr}:${bound}`)
    } catch (error) {
      log.error(`start visit error: ${messageOf(error)}`)
      if (this.isClosed) return
      const retry = this.runtime.after(RETRY_MS, () => {
        this.retries.delete(retry)
        void this.listen(options, way, log)
      })
      this.retries.add(retry)
    }
  }

  private wayOf({ server, token, visitKey }: VisitOptions): Way {
    if (visitKey !== '' || (server !== '' && token === '')) {
      const { options } = this
      const way = new StrangerWay(
        server === '' ? visitorOptions(options) : visitorOptionsAt(options, server, ''),
        this.runtime,
      )
      this.ways.add(way)
      return way
    }
    return server === '' ? this.own : this.wayElsewhere(server, token)
  }

  private wayElsewhere(server: string, token: string): Way {
    const key = `${server} ${token}`
    const known = this.elsewhere.get(key)
    if (known !== undefined) return known.way
    const way = new LoggedInWay(this.runtime)
    // One relay of several that is away must not end the client.
    const options = { ...visitorOptionsAt(this.options, server, token), loginFailExit: false }
    const service = new Service(options, this.runtime)
    service.onControl = way.use
    this.ways.add(way)
    this.elsewhere.set(key, { way, service })
    void service.run()
    return way
  }
}
