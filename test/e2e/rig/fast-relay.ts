import { completeFrps } from '../../../config/load.ts'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { startServer } from '../../../relay-node/server.ts'
import { type CleanUp, Lines } from '../client-rig.ts'

/** A relay in this process whose clock runs `speed` times as fast as ours; answers its log. */
export async function startFastRelay(cleanUp: CleanUp, config: object, speed: number): Promise<Lines> {
  const lines = new Lines()
  const sink = { write: (line: string) => lines.add(line), close: async () => undefined }
  const runtime = nodeRuntime(createLineLog(sink, 'trace', false))
  const { options } = completeFrps({ bindAddr: '127.0.0.1', ...config })
  const server = await startServer(options, {
    ...runtime,
    monotonicMs: () => runtime.monotonicMs() * speed,
    after: (delayMs, run) => runtime.after(delayMs / speed, run),
  })
  cleanUp.add(() => server.close())
  return lines
}
