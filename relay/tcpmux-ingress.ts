import { concat } from '../contract/bytes.ts'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import { type HeadLimits, HeadReader, type RequestHead, readRequestHead } from '../protocol/http1/head.ts'
import { type ByteStream, READ_ONLY } from '../protocol/stream/byte-stream.ts'
import { answerAndEnd, FirstRead } from './first-read.ts'
import { canonicalHost } from './host-names.ts'
import type { HttpRouteTable } from './http-routes.ts'
import { mayEnter, NOT_FOUND_PAGE, parseBasic } from './http-rules.ts'
import type { Addresses } from './ingress.ts'
import type { VhostTarget } from './proxies/table.ts'
import type { Refusals } from './refusals.ts'

export interface TcpmuxIngressOptions {
  runtime: Runtime
  routes: HttpRouteTable<VhostTarget>
  refusals: Refusals
  /** frps tcpmuxPassthrough: the service gets the CONNECT request itself, and answers it. */
  isPassthrough: boolean
  headLimits: HeadLimits
  headTimeoutMs: number
  /** frps custom404Page; undefined: the built-in page. */
  notFoundPage: () => Promise<string | undefined>
}

const encoder = new TextEncoder()
const CONNECTED = encoder.encode('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
const PASSWORD_WANTED = encoder.encode(
  'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="Restricted"\r\n' +
    'Content-Length: 0\r\nConnection: close\r\n\r\n',
)

/** The door for users of tcpmux proxies, who ask for a name with HTTP CONNECT. */
export class TcpmuxIngress {
  private readonly options: TcpmuxIngressOptions

  constructor(options: TcpmuxIngressOptions) {
    this.options = options
  }

  accept(user: ByteStream, addresses: Addresses): void {
    const { runtime, refusals, headLimits, headTimeoutMs } = this.options
    const reader = new HeadReader(readRequestHead, headLimits)
    const chunks: Uint8Array[] = []
    const first = new FirstRead(user, {
      runtime,
      timeoutMs: headTimeoutMs,
      look: (chunk) => {
        chunks.push(chunk.slice())
        const found = reader.feed(chunk)
        if (found === undefined) return false
        this.route(user, addresses, found.head, concat(chunks))
        return true
      },
      onRefused: (error) => {
        if (error.code !== 'LINK_CLOSED') refusals.report(addresses.sourceIp, error.message)
      },
    })
    user.attach(first)
  }

  /** `bytes`: the connection from its start. */
  private route(user: ByteStream, addresses: Addresses, head: RequestHead, bytes: Uint8Array): void {
    const { runtime, routes, isPassthrough } = this.options
    if (head.method !== 'CONNECT') {
      throw new FrpError('HTTP_BAD_REQUEST', `${head.method} on the port of tcpmux, which takes CONNECT only`)
    }
    const host = canonicalHost(head.authority)
    const credential = parseBasic(head.fields.get('Proxy-Authorization'))
    const target = host === undefined ? undefined : routes.find(host, '', credential?.user ?? '')
    if (target === undefined) {
      this.notFound(user)
    } else if (!mayEnter(runtime.crypto, credential, target.message)) {
      // frp says 200 first and 407 after it, as the first bytes of the tunnel.
      answerAndEnd(user, PASSWORD_WANTED, runtime)
    } else if (isPassthrough) {
      target.workConns.serve(user, addresses, bytes)
    } else {
      this.connect(user, addresses, target, bytes.subarray(head.byteLength))
    }
  }

  /** Says that the tunnel is open, and opens it; `rest` is what came behind the request. */
  private connect(user: ByteStream, addresses: Addresses, target: VhostTarget, rest: Uint8Array): void {
    const head = rest.length > 0 ? rest.slice() : undefined
    const isSent = user.write(CONNECTED, READ_ONLY)
    if (isSent) {
      target.workConns.serve(user, addresses, head)
      return
    }
    user.pause()
    user.attach({
      onData: () => true,
      onEnd: () => undefined,
      onDrain: () => {
        target.workConns.serve(user, addresses, head)
      },
      onClose: () => undefined,
    })
  }

  private notFound(user: ByteStream): void {
    const { notFoundPage, runtime } = this.options
    user.pause()
    notFoundPage().then(
      (page) => answerAndEnd(user, notFoundAnswer(page ?? NOT_FOUND_PAGE), runtime),
      (error: Error) => user.destroy(error),
    )
  }
}

function notFoundAnswer(page: string): Uint8Array {
  const { length } = encoder.encode(page)
  return encoder.encode(
    `HTTP/1.1 404 Not Found\r\nContent-Length: ${length}\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n${page}`,
  )
}
