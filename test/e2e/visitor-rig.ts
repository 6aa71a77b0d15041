import { Service } from '../../client/service.ts'
import { LoggedInWay } from '../../client/visit/way.ts'
import { VisitorSet } from '../../client/visitors/visitor-set.ts'
import { completeFrpc, type VisitorOptions } from '../../config/load.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { type CleanUp, Lines } from './client-rig.ts'

export interface TestVisitors {
  service: Service
  lines: Lines
  update(visitors: readonly VisitorOptions[]): void
}

/** A client in this process that runs the visitors of `config` (shaped like frpc.toml), its clock `speed` times as fast. */
export function startVisitors(cleanUp: CleanUp, config: object, speed = 1): TestVisitors {
  const lines = new Lines()
  const sink = { write: (line: string) => lines.add(line), close: async () => undefined }
  const { options } = completeFrpc(config)
  const runtime = nodeRuntime(createLineLog(sink, 'trace', false))
  const fast = {
    ...runtime,
    monotonicMs: () => runtime.monotonicMs() * speed,
    after: (delayMs: number, run: () => void) => runtime.after(delayMs / speed, run),
  }
  const service = new Service(options, fast)
  const own = new LoggedInWay(fast)
  service.onControl = own.use
  const visitors = new VisitorSet(options, own, fast)
  visitors.update(options.visitors)
  const over = service.run().catch(() => undefined)
  cleanUp.add(async () => {
    visitors.close()
    own.close()
    service.close()
    await over
  })
  return { service, lines, update: (configs) => visitors.update(configs) }
}
