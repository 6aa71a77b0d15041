import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { CASES, type Case } from './cases.ts'
import { ask, fieldValue, type RawMessage, RawReader } from './raw-http.ts'

/** RFC 6455 1.3. */
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** A way from a client to the service: its port and the host that leads there. */
export interface Way {
  name: string
  port: number
  host: string
}

/** The service: answers each case byte for byte, and keeps what reached it. */
export class CannedService {
  private readonly requests = new Map<string, RawMessage>()

  readonly serve = (socket: Socket): void => {
    void this.answer(socket)
  }

  /** The request of case `index` as it arrived; undefined if it did not. */
  take(index: number): RawMessage | undefined {
    const request = this.requests.get(String(index))
    this.requests.delete(String(index))
    return request
  }

  /** One request after the other: a connection that closes after each would race with a relay that keeps it. */
  private async answer(socket: Socket): Promise<void> {
    const reader = new RawReader(socket)
    for (let isOver = false; !isOver; ) {
      const request = await reader.message(() => true)
      if (request === undefined) return
      const index = Number(fieldValue(request, 'x-case'))
      this.requests.set(String(index), request)
      const wanted = CASES[index]?.answer ?? 'HTTP/1.1 500 No Such Case\r\n\r\n'
      // A server does not switch to what it was not asked for.
      const isPlain = wanted.includes(' 101 ') && fieldValue(request, 'upgrade') === undefined
      const answer = isPlain ? 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n' : wanted
      const key = fieldValue(request, 'sec-websocket-key') ?? ''
      const accept = createHash('sha1')
        .update(key + WEBSOCKET_GUID)
        .digest('base64')
      socket.write(answer.replace('Accept: *', `Accept: ${accept}`), 'latin1')
      // An upgraded connection stays open, without further requests.
      isOver = answer.includes(' 101 ')
      if (CASES[index]?.endsConnection !== true) continue
      socket.end()
      return
    }
  }
}

/** The table in markdown: a row for each case, a column for each way. */
export async function fidelityTable(service: CannedService, ways: readonly Way[]): Promise<string> {
  const lines = [`| what | ${ways.map(({ name }) => name).join(' | ')} |`, `| --- |${' --- |'.repeat(ways.length)}`]
  for (const [index, one] of CASES.entries()) {
    const cells: string[] = []
    for (const way of ways) cells.push(await tried(service, one, index, way))
    lines.push(`| ${[one.what, ...cells].join(' | ')} |`)
  }
  return lines.join('\n')
}

async function tried(service: CannedService, one: Case, index: number, { port, host }: Way): Promise<string> {
  const { method = 'GET', target = '/', fields = [], body = '' } = one
  const head = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, `X-Case: ${index}`, ...fields]
  const answer = await ask(port, `${head.join('\r\n')}\r\n\r\n${body}`, method === 'HEAD')
  const request = service.take(index) ?? { start: '', fields: [], body: '', isChunked: false, trailers: [] }
  return answer === undefined ? (one.unanswered ?? 'no answer') : one.look(answer, request)
}
