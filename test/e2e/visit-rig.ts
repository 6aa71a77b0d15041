import { connect, type Socket } from 'node:net'
import { Service } from '../../client/service.ts'
import { Visits } from '../../client/visit/visits.ts'
import { LoggedInWay } from '../../client/visit/way.ts'
import { completeFrpc } from '../../config/load.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { type CleanUp, Lines } from './client-rig.ts'

/** A client in this process that runs the visits of `config` (shaped like frpc.toml), its clock `speed` times as fast. */
export function startVisits(cleanUp: CleanUp, config: object, speed = 1): Lines {
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
  const visits = new Visits(options, own, fast)
  visits.start()
  const over = service.run().catch(() => undefined)
  cleanUp.add(async () => {
    service.close()
    visits.close()
    own.close()
    await over
  })
  return lines
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
