import { completeFrps } from '../../config/load.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { type RunningServer, startServer } from '../../relay-node/server.ts'
import { type CleanUp, Lines } from './client-rig.ts'

export interface TestServer {
  server: RunningServer
  lines: Lines
}

/** A relay in this process, on 127.0.0.1; `config` is shaped like frps.toml. */
export async function startRelay(cleanUp: CleanUp, config: object): Promise<TestServer> {
  const lines = new Lines()
  const sink = { write: (line: string) => lines.add(line), close: async () => undefined }
  const { options } = completeFrps({ bindAddr: '127.0.0.1', ...config })
  const server = await startServer(options, nodeRuntime(createLineLog(sink, 'trace', false)))
  cleanUp.add(() => server.close())
  return { server, lines }
}
