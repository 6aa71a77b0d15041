import { DurableObject } from 'cloudflare:workers'
import { FrpError } from '../contract/errors.ts'
import type { LogLevel } from '../contract/runtime.ts'
import { isOwnPath, OWN_PATH } from '../protocol/frp/own-path.ts'
import { type RelayApp, relayApp } from '../relay/api/app.ts'
import { Relay } from '../relay/relay.ts'
import { HubBudget } from './budget.ts'
import { HubDirectory } from './directory.ts'
import { configOf, type Env, refusal } from './env.ts'
import { HttpDoor } from './http.ts'
import { pluginCaller } from './plugin-call.ts'
import { SqlRegistryStore } from './registry-store.ts'
import { splitUrl } from './request-url.ts'
import { HubRuntime } from './runtime.ts'
import { Sleep } from './sleep.ts'
import { reasonText } from './sockets.ts'
import { HubStore } from './store.ts'
import { VirtualPorts } from './virtual-ports.ts'

/** How long an idle connection to a client's web server is kept: it keeps the object awake. */
const IDLE_UPSTREAM_MS = 2_000
/** The platform takes HTTP alone: TLS ends before it, and CONNECT does not arrive. */
const UNAVAILABLE = {
  https: 'type [https] cannot be carried on the edge, where TLS ends: use type http, or stcp with a visitor',
  tcpmux: 'type [tcpmux] cannot be carried on the edge, which takes no CONNECT: use tcp with frpc visit, or stcp',
}
/**
 * A sleeping client's proxies are one stored value, which may have 2 MiB: this is less than half of it, as text beyond Latin-1
 * takes two bytes a character there. About 4,000 plain proxies.
 */
const MAX_PROXY_BYTES = 768 * 1024
/** frpc < 0.70 sends yamux in text frames, which the runtime decodes beyond repair. */
const TEXT_REASON = 'text frames are not readable here: use frpc 0.70 or newer, or a relay on a VM'

/** The Durable Object: hands each event to its Relay, and lets it sleep when nothing is under way. */
export class Hub extends DurableObject<Env> {
  private readonly runtime: HubRuntime
  private readonly relay: Relay
  private readonly sleep: Sleep
  private readonly http: HttpDoor
  /** Made when somebody asks: most lives of the object never need it. */
  private app: RelayApp | undefined
  private readonly refusal: string | undefined
  private readonly budget: HubBudget

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    const options = configOf(env, ctx.id.name === undefined ? undefined : configNameOf(ctx.id.name))
    this.refusal = refusal(options)
    this.budget = new HubBudget(ctx.id.toString())
    options.edgefrp.limits.maxMemoryBytes = Math.min(options.edgefrp.limits.maxMemoryBytes, this.budget.limit)
    this.runtime = new HubRuntime(options.log.level as LogLevel, () => this.sleep.settle())
    const store = new HubStore(ctx.storage)
    const directory = new HubDirectory({
      store,
      wake: (keys) => this.sleep.wake(keys),
      nameOf: (control) => this.sleep.nameOf(control.connection),
    })
    this.relay = new Relay({
      runtime: this.runtime,
      options,
      ports: new VirtualPorts(),
      get: (url, init) => fetch(url, init),
      features: ['sleeps'],
      directory,
      sleepers: {
        wake: (keys) => this.sleep.wake(keys),
        wakeConnection: (name) => this.sleep.wakeConnection(name),
      },
      memoryBudget: this.budget,
      registryStore: new SqlRegistryStore(ctx.storage.sql),
      idleUpstreamMs: IDLE_UPSTREAM_MS,
      unavailable: UNAVAILABLE,
      maxProxyBytes: MAX_PROXY_BYTES,
      ...(options.edgefrp.accessLog.to === '' ? {} : { accessLog: (entry) => console.log(JSON.stringify(entry)) }),
      callPlugin: pluginCaller(() => this.sleep.begin()),
    })
    this.sleep = new Sleep({ ctx, runtime: this.runtime, relay: this.relay, store, directory, budget: this.budget })
    this.http = new HttpDoor({
      relay: this.relay,
      runtime: this.runtime,
      store,
      sleep: this.sleep,
      budget: this.budget,
    })
  }

  override fetch(request: Request): Response | Promise<Response> {
    if (this.refusal !== undefined) return new Response(`${this.refusal}\n`, { status: 503 })
    return this.sleep.event(() => {
      const url = splitUrl(request.url)
      const { pathname } = url
      if (!isOwnPath(pathname)) return this.http.serve(request, url)
      if (pathname === OWN_PATH && isUpgrade(request)) return this.acceptClient(request)
      // The API tells who is there; strangers wake nobody.
      this.app ??= relayApp(this.relay, this.runtime, 0, () => this.sleep.wakeAll())
      const { app } = this
      return this.sleep.during(async () => app.fetch(request, request.headers.get('CF-Connecting-IP') ?? ''))
    })
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.sleep.event(() => {
      const client = this.sleep.awakeClientOf(socket)
      if (client !== undefined && typeof message !== 'string') {
        client.receive(new Uint8Array(message))
        return
      }
      const user = this.sleep.userOf(socket)
      if (user !== undefined) {
        user.receive(message)
        return
      }
      if (typeof message === 'string') {
        socket.close(1003, TEXT_REASON)
        return
      }
      this.sleep.clientOf(socket)?.receive(new Uint8Array(message))
    })
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    this.sleep.event(() => {
      // A hibernatable socket does not answer a close frame by itself.
      socket.close(code === 1005 || code === 1006 || code === 1015 ? 1000 : code, reasonText(reason))
      this.sleep.closed(socket, code, reason)
    })
  }

  override webSocketError(socket: WebSocket, error: unknown): void {
    this.sleep.event(() => {
      const text = error instanceof Error ? error.message : String(error)
      this.sleep.broken(socket, new FrpError('LINK_CLOSED', `the WebSocket broke: ${text}`))
    })
  }

  private acceptClient(request: Request): Response {
    if (request.headers.get('Sec-Fetch-Site') === 'cross-site') {
      return new Response('a page of another site may not open a tunnel\n', { status: 403 })
    }
    const { 0: client, 1: server } = new WebSocketPair()
    this.sleep.acceptClient(server, {
      ip: request.headers.get('CF-Connecting-IP') ?? '127.0.0.1',
      port: 0,
      transport: 'websocket',
      isEncrypted: request.url.startsWith('https:'),
    })
    return new Response(null, { status: 101, webSocket: client, headers: { edgefrp: '1' } })
  }
}

/** The variable with the configuration of a hub. */
export function configNameOf(hubName: string): string | undefined {
  const mark = hubName.indexOf(' ')
  return mark < 0 ? undefined : hubName.slice(mark + 1)
}

function isUpgrade(request: Request): boolean {
  return request.headers.get('Upgrade')?.toLowerCase() === 'websocket'
}
