import type { Env } from '../../worker/env.ts'
import { Hub as RealHub } from '../../worker/hub.ts'
import type { Probe } from './probe.ts'

// The relay's own Worker, whose hubs also tell what the benchmark cannot see from outside.

export { default } from '../../worker/index.ts'

/** An attachment has at most so many bytes. */
const ATTACHMENT_BYTES = 16_384

let lives = 0

export class Hub extends RealHub {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    lives += 1
  }

  override async fetch(request: Request): Promise<Response> {
    if (!request.url.endsWith('/~!bench')) return await super.fetch(request)
    const attachments = this.ctx.getWebSockets().map((socket) => sizeOf(socket.deserializeAttachment()))
    return Response.json({ attachments, lives } satisfies Probe)
  }
}

/** How many bytes the platform counts: the largest padding that still fits beside it tells. */
function sizeOf(value: unknown): number {
  const { 1: socket } = new WebSocketPair()
  const fits = (padding: number): boolean => {
    try {
      socket.serializeAttachment([value, new ArrayBuffer(padding)])
      return true
    } catch {
      return false // too large, which is the question
    }
  }
  let [low, high] = [0, ATTACHMENT_BYTES]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (fits(middle)) low = middle
    else high = middle - 1
  }
  return ATTACHMENT_BYTES - low
}
