import type { FrpError } from '../contract/errors.ts'
import type { Crypto, Runtime } from '../contract/runtime.ts'
import type { RequestHead } from '../protocol/http1/head.ts'
import { canonicalHost, hostCandidates } from './host-names.ts'
import type { HttpRoutes } from './http-routes.ts'
import {
  NO_ANSWER_PAGE,
  NOT_FOUND_PAGE,
  type OwnAnswer,
  ownAnswer,
  refuseByPassword,
  routeUserOf,
} from './http-rules.ts'
import type { HttpTarget } from './http-target.ts'
import type { Sleepers } from './sleepers.ts'

export interface HttpIngressOptions {
  runtime: Runtime
  routes: HttpRoutes<HttpTarget>
  sleepers: Sleepers
  /** frps vhostHTTPTimeout: from the request to the head of the response. */
  responseTimeoutMs: number
  /** frps custom404Page, read anew for each 404; undefined: the built-in page. */
  notFoundPage: () => Promise<string | undefined>
}

/** Where a request goes, or what the relay answers by itself. */
export type HttpDecision = { target: HttpTarget } | { target: HttpTarget | undefined; answer: OwnAnswer }

/** The door for users' HTTP requests, on any runtime: who is asked for, and may they in. */
export class HttpIngress {
  readonly responseTimeoutMs: number
  readonly runtime: Runtime
  private readonly options: HttpIngressOptions
  private readonly crypto: Crypto

  constructor(options: HttpIngressOptions) {
    this.options = options
    this.runtime = options.runtime
    this.crypto = options.runtime.crypto
    this.responseTimeoutMs = options.responseTimeoutMs
  }

  /** Finds the proxy of a request of a user at `ip`, and checks address and password. Undefined: there is none, answer `notFound`. */
  decide(head: RequestHead, ip: string): HttpDecision | undefined {
    const host = canonicalHost(head.authority)
    if (host === undefined) return undefined
    this.options.sleepers.wake(hostCandidates(host).map((candidate) => `http:${candidate} `))
    const target = this.options.routes.table.find(host, head.path, routeUserOf(head))
    if (target === undefined) return undefined
    const refusal = target.workConns.refuses(ip)
    if (refusal !== undefined) {
      return { target, answer: ownAnswer(403, 'Forbidden', `${refusal.message}\n`, ['edgefrp-error', refusal.code]) }
    }
    const answer = refuseByPassword(head, target.message, this.crypto)
    return answer === undefined ? { target } : { target, answer }
  }

  /** frp answers 404 for a name that leads nowhere, and for a service that does not answer; a full relay says 503. */
  async notFound(error?: FrpError): Promise<OwnAnswer> {
    // Not the service's fault: another try may do.
    if (error?.code === 'LIMIT') return ownAnswer(503, 'Service Unavailable', '', ['edgefrp-error', error.code])
    const page = await this.options.notFoundPage()
    const ownPage = error === undefined ? NOT_FOUND_PAGE : NO_ANSWER_PAGE
    return ownAnswer(404, 'Not Found', page ?? ownPage, ['edgefrp-error', error?.code ?? 'NO_ROUTE'])
  }

  /** The service did not answer in time (frp: 504 with an empty body). */
  timedOut(): OwnAnswer {
    return ownAnswer(504, 'Gateway Timeout', '', ['edgefrp-error', 'TIMEOUT'])
  }

  /** A request that can be understood in two ways, or not at all. */
  badRequest(error: FrpError): OwnAnswer {
    if (error.code === 'HTTP_HEAD_TOO_LARGE') {
      return ownAnswer(431, 'Request Header Fields Too Large', `${error.message}\n`, ['edgefrp-error', error.code])
    }
    return ownAnswer(400, 'Bad Request', `${error.message}\n`, ['edgefrp-error', error.code])
  }
}
