import type { Runtime } from '../contract/runtime.ts'
import type { ByteStream } from '../protocol/stream/byte-stream.ts'
import { ClientHelloReader } from './client-hello.ts'
import { answerAndEnd, FirstRead } from './first-read.ts'
import { canonicalHost } from './host-names.ts'
import type { HttpRouteTable } from './http-routes.ts'
import type { Addresses } from './ingress.ts'
import type { VhostTarget } from './proxies/table.ts'
import type { Refusals } from './refusals.ts'

export interface HttpsIngressOptions {
  runtime: Runtime
  routes: HttpRouteTable<VhostTarget>
  refusals: Refusals
  /** From the first byte to a complete ClientHello. */
  helloTimeoutMs: number
}

/** RFC 8446 6: a fatal alert, unrecognized_name. */
const UNRECOGNIZED_NAME = Uint8Array.of(21, 3, 3, 0, 2, 2, 112)

/** The door for users of https proxies: the name in their hello says whose they are; TLS itself ends at the service. */
export class HttpsIngress {
  private readonly options: HttpsIngressOptions

  constructor(options: HttpsIngressOptions) {
    this.options = options
  }

  /** `head` are bytes of the connection that were read before. */
  accept(user: ByteStream, addresses: Addresses, head?: Uint8Array): void {
    const { runtime, refusals, helloTimeoutMs } = this.options
    const reader = new ClientHelloReader()
    const first = new FirstRead(user, {
      runtime,
      timeoutMs: helloTimeoutMs,
      look: (chunk) => {
        const hello = reader.feed(chunk)
        if (hello === undefined) return false
        this.route(user, addresses, hello.serverName, reader.bytes)
        return true
      },
      onRefused: (error) => {
        if (error.code !== 'LINK_CLOSED') refusals.report(addresses.sourceIp, error.message)
      },
    })
    user.attach(first, head)
  }

  private route(user: ByteStream, addresses: Addresses, serverName: string | undefined, head: Uint8Array): void {
    // frp: a hello without a name is taken by `*` alone.
    const host = serverName === undefined ? '' : canonicalHost(serverName)
    const target = host === undefined ? undefined : this.options.routes.find(host, '', '')
    if (target === undefined) answerAndEnd(user, UNRECOGNIZED_NAME, this.options.runtime)
    else target.workConns.serve(user, addresses, head)
  }
}
