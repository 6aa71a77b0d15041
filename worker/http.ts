import { Fields, type RequestHead, utf8AsLatin1 } from '../protocol/http1/head.ts'
import type { MemoryBudget } from '../protocol/yamux/memory-budget.ts'
import { canonicalHost, hostCandidates } from '../relay/host-names.ts'
import type { HttpDecision } from '../relay/http-ingress.ts'
import { type OwnAnswer, ownAnswer } from '../relay/http-rules.ts'
import type { Relay } from '../relay/relay.ts'
import { EdgeRun, type HttpUser } from './http-run.ts'
import type { RequestUrl } from './request-url.ts'
import type { HubRuntime } from './runtime.ts'
import type { Sleep } from './sleep.ts'
import type { HubStore } from './store.ts'

export interface HttpDoorOptions {
  relay: Relay
  runtime: HubRuntime
  store: HubStore
  sleep: Sleep
  budget: MemoryBudget
}

/** Without Cloudflare in front, as on local workerd, nobody says whose request it is. */
const LOCAL_IP = '127.0.0.1'
/** How long a request waits for a client that was lost a moment ago, and how often it looks. */
const COMEBACK_MS = 5_000
const LOOK_MS = 100

/** Users' requests on the edge: found by the relay's rules, carried over a work connection, answered as a Response. */
export class HttpDoor {
  private readonly options: HttpDoorOptions

  constructor(options: HttpDoorOptions) {
    this.options = options
  }

  /** Nothing is awaited where a route is found: each promise of the platform costs as much as reading a head. */
  serve(request: Request, url: RequestUrl): Response | Promise<Response> {
    const head = headOf(request, url)
    const user: HttpUser = { request, head, ip: head.fields.get('CF-Connecting-IP') ?? LOCAL_IP, isHttps: url.isHttps }
    const decision = this.options.relay.http.decide(head, user.ip)
    if (decision !== undefined) return this.follow(decision, user)
    return this.options.sleep.during(() => this.serveLater(user))
  }

  private follow(decision: HttpDecision, user: HttpUser): Response | Promise<Response> {
    const { head, ip } = user
    if ('answer' in decision) {
      const visit = decision.target?.visit(head, ip, 0)
      if (visit !== undefined) visit.status = decision.answer.status
      visit?.end()
      return responseOf(decision.answer)
    }
    return new EdgeRun(user, decision.target, this.options).response
  }

  private async serveLater(user: HttpUser): Promise<Response> {
    const decision = await this.afterComeback(user.head, user.ip)
    return decision === undefined ? responseOf(await this.options.relay.http.notFound()) : this.follow(decision, user)
  }

  /** A client that was cut by a deploy or a crash is back in a moment: the request waits for it. */
  private async afterComeback(head: RequestHead, ip: string): Promise<HttpDecision | undefined> {
    const { relay, runtime, store } = this.options
    const host = canonicalHost(head.authority)
    if (host === undefined) return undefined
    const keys = hostCandidates(host).map((candidate) => `http:${candidate} `)
    for (let waitedMs = 0; store.wasLost(keys, runtime.nowMs()); waitedMs += LOOK_MS) {
      if (waitedMs >= COMEBACK_MS) return { target: undefined, answer: comingBack() }
      await new Promise<void>((resolve) => runtime.after(LOOK_MS, resolve))
      const decision = relay.http.decide(head, ip)
      if (decision !== undefined) return decision
    }
    return undefined
  }
}

function comingBack(): OwnAnswer {
  const error: [string, string] = ['edgefrp-error', 'NO_WORK_CONN']
  return ownAnswer(503, 'Service Unavailable', 'The client is reconnecting.\n', ['Retry-After', '5'], error)
}

/** A request as the relay reads one. Names come in lower case, sorted, and joined: that is the platform's doing. */
function headOf(request: Request, { authority, path }: RequestUrl): RequestHead {
  const fields = new Fields()
  // One call into the platform, where an iterator is one a field.
  request.headers.forEach((value, name) => {
    fields.append(name, name === 'cookie' ? cookies(value) : value)
  })
  const length = fields.get('content-length') ?? null
  const hasBody = request.body !== null
  const asked = fields.get('upgrade')
  // The platform carries no other one; ignoring it is a server's right (RFC 9110 7.8), and then it is a plain request.
  const upgrade = asked?.toLowerCase() === 'websocket' ? asked : undefined
  return {
    method: request.method,
    target: path,
    path,
    authority: utf8AsLatin1(authority),
    isAbsoluteForm: false,
    minorVersion: 1,
    fields,
    contentLength: hasBody ? Number(length ?? -1) : length === null ? -1 : Number(length),
    isChunked: hasBody && length === null,
    keepAlive: true,
    upgrade,
    expectsContinue: false,
    byteLength: 0,
  }
}

/** The platform joins several Cookie fields with a comma, which no server reads (RFC 6265 4.2.1). */
function cookies(value: string): string {
  return value.replace(/, (?=[^;,=\s]+=)/g, '; ')
}

function responseOf(answer: OwnAnswer): Response {
  const headers = new Headers()
  for (const [name, value] of answer.fields) headers.append(name, value)
  return new Response(answer.body === '' ? null : answer.body, {
    status: answer.status,
    statusText: answer.reason,
    headers,
  })
}
