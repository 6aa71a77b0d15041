import { connect, type Socket } from 'node:net'
import { Service } from '../../client/service.ts'
import { Visits } from '../../client/visit/visits.ts'
import { LoggedInWay } from '../../client/visit/way.ts'
import { VisitorSet } from '../../client/visitors/visitor-set.ts'
import { completeFrpc, type FrpcOptions, type VisitorOptions } from '../../config/load.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { type CleanUp, Lines } from './client-rig.ts'

/** A client in this process that visits. */
export interface TestVisitors {
  service: Service
  lines: Lines
  update(visitors: readonly VisitorOptions[]): void
}

/** A client in this process that runs the visitors of `config` (shaped like frpc.toml), its clock `speed` times as fast. */
export function startVisitors(cleanUp: CleanUp, config: object, speed = 1): TestVisitors {
  const { visiting, ...client } = start(cleanUp, config, speed, (options, own, runtime) => {
    const visitors = new VisitorSet(options, own, runtime)
    visitors.update(options.visitors)
    return visitors
  })
  return { ...client, update: (configs) => visiting.update(configs) }
}

/** The same with `edgefrp.visits`; answers its lines. */
export function startVisits(cleanUp: CleanUp, config: object, speed = 1): Lines {
  const { lines } = start(cleanUp, config, speed, (options, own, runtime) => {
    const visits = new Visits(options, own, runtime)
    visits.start()
    return visits
  })
  return lines
}

function start<Visiting extends { close(): void }>(
  cleanUp: CleanUp,
  config: object,
  speed: number,
  open: (options: FrpcOptions, own: LoggedInWay, runtime: Runtime) => Visiting,
): { service: Service; lines: Lines; visiting: Visiting } {
  const lines = new Lines()
  const sink = { write: (line: string) => lines.add(line), close: async () => undefined }
  const { options } = completeFrpc(config)
  const runtime = nodeRuntime(createLineLog(sink, 'trace', false))
  const fast: Runtime = {
    ...runtime,
    monotonicMs: () => runtime.monotonicMs() * speed,
    after: (delayMs, run) => runtime.after(delayMs / speed, run),
  }
  const service = new Service(options, fast)
  const own = new LoggedInWay(fast)
  service.onControl = own.use
  const visiting = open(options, own, fast)
  const over = service.run().catch(() => undefined)
  cleanUp.add(async () => {
    visiting.close()
    own.close()
    service.close()
    await over
  })
  return { service, lines, visiting }
}

/** How one end of a connection ended. */
export interface End {
  text: string
  ended: boolean
  code: string | undefined
}

/** Watches a socket until it is closed. */
export function endOf(socket: Socket): Promise<End> {
  return new Promise((resolve) => {
    const end: End = { text: '', ended: false, code: undefined }
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      end.text += part
    })
    socket.on('end', () => {
      end.ended = true
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      end.code = error.code
    })
    socket.on('close', () => resolve(end))
  })
}

/** A user of a local port that may half-close. */
export function dialLocal(port: number): Socket {
  return connect({ port, host: '127.0.0.1', allowHalfOpen: true })
}
