import { DurableObject } from 'cloudflare:workers'

// What a relay on the edge cannot be faster than: Worker, Durable Object, a WebSocket, and nothing that thinks.

interface Env {
  BARE: DurableObjectNamespace<Bare>
}

export default {
  fetch: (request: Request, env: Env) => env.BARE.get(env.BARE.idFromName('bare')).fetch(request),
} satisfies ExportedHandler<Env>

/** Sockets by tag: `answer` is asked for responses; `near-N` and `far-N` are the two ends of one connection. */
export class Bare extends DurableObject<Env> {
  private nextId = 0
  private readonly waiting = new Map<number, (body: Uint8Array) => void>()
  private body: { controller: ReadableStreamDefaultController<Uint8Array>; left: number } | undefined

  override async fetch(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    if (request.headers.has('Upgrade')) return this.accept(pathname.slice(1))
    const end = this.ctx.getWebSockets('answer')[0]
    if (end === undefined) return new Response(null, { status: 503 })
    const bulkBytes = Number(/^\/bytes\/(\d+)$/.exec(pathname)?.[1] ?? 0)
    if (bulkBytes > 0) {
      end.send(`bytes ${bulkBytes}`)
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          this.body = { controller, left: bulkBytes }
        },
      })
      return new Response(body)
    }
    const id = this.nextId++
    const answer = new Promise<Uint8Array>((resolve) => this.waiting.set(id, resolve))
    end.send(new Uint32Array([id]))
    return new Response(await answer, { headers: { 'Content-Type': 'text/plain' } })
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    const tag = this.ctx.getTags(socket)[0] ?? ''
    if (tag !== 'answer') this.otherEnd(tag)?.send(message)
    else if (typeof message !== 'string') this.answered(message)
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close(1000)
    this.otherEnd(this.ctx.getTags(socket)[0] ?? '')?.close(1000)
  }

  private accept(tag: string): Response {
    const { 0: client, 1: server } = new WebSocketPair()
    this.ctx.acceptWebSocket(server, [tag])
    if (tag.startsWith('near-')) this.ctx.getWebSockets('answer')[0]?.send(tag.replace('near', 'far'))
    if (tag.startsWith('far-')) this.otherEnd(tag)?.send('ready')
    return new Response(null, { status: 101, webSocket: client })
  }

  private otherEnd(tag: string): WebSocket | undefined {
    const other = tag.startsWith('near-') ? tag.replace('near', 'far') : tag.replace('far', 'near')
    return this.ctx.getWebSockets(other)[0]
  }

  private answered(message: ArrayBuffer): void {
    const { body } = this
    if (body === undefined) {
      const id = new Uint32Array(message.slice(0, 4))[0] ?? 0
      this.waiting.get(id)?.(new Uint8Array(message, 4))
      this.waiting.delete(id)
      return
    }
    body.left -= message.byteLength
    body.controller.enqueue(new Uint8Array(message))
    if (body.left > 0) return
    body.controller.close()
    this.body = undefined
  }
}
