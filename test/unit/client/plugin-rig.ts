import type { Socket } from 'node:net'
import { PluginBackend } from '../../../client/plugins/table.ts'
import { completeFrpc } from '../../../config/load.ts'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { socketStream } from '../../../node/socket.ts'
import type { ByteStream } from '../../../protocol/stream/byte-stream.ts'
import { join } from '../../../protocol/stream/join.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { type CleanUp, Lines, listenTcp } from '../../e2e/client-rig.ts'

/** A plugin as a proxy has it, with a port of its own in place of a relay. */
export interface PluginRig {
  port: number
  lines: Lines
  /** Connections that run. */
  running(): number
  /** Resolves when no connection runs. */
  idle(): Promise<void>
  /** A user without a socket: the far end of its stream. */
  user(): ByteStream
}

/** `options`: the table `plugin` of a proxy; `transport`: what the proxy says beside it. Deadlines come `speed` times as fast. */
export async function openPlugin(
  cleanUp: CleanUp,
  options: object,
  transport: object = {},
  speed = 1,
): Promise<PluginRig> {
  const lines = new Lines()
  const real = nodeRuntime(createLineLog({ write: (line) => lines.add(line), close: async () => {} }, 'trace', false))
  const runtime = { ...real, after: (delayMs: number, run: () => void) => real.after(delayMs / speed, run) }
  const { options: client } = completeFrpc({ proxies: [{ name: 'p', type: 'tcp', plugin: options, transport }] })
  const [config] = client.proxies
  if (config?.plugin === undefined || config.plugin.type === 'virtual_net') throw new Error('no plugin to open')
  let running = 0
  const waiting: (() => void)[] = []
  const onCount = (change: 1 | -1): void => {
    running += change
    if (running === 0) for (const resolve of waiting.splice(0)) resolve()
  }
  const backend = new PluginBackend({ config, runtime, log: runtime.log, wrapping: {}, onCount }, config.plugin)
  await backend.open()
  cleanUp.add(() => backend.close())

  const user = (address = '192.0.2.7'): ByteStream => {
    const [near, far] = pair()
    backend.take({
      stream: near,
      halfClose: true,
      start: {
        type: 'StartWorkConn',
        proxy_name: 'p',
        src_addr: address,
        src_port: 4711,
        dst_addr: '192.0.2.1',
        dst_port: 80,
        error: '',
      },
    })
    return far
  }
  const port = await listenTcp(cleanUp, (socket: Socket) => join(socketStream(socket), user()))
  const idle = (): Promise<void> =>
    running === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))
  return { port, lines, running: () => running, idle, user }
}

/** A promise and what settles it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
