import type { Context, Env, Hono } from 'hono'

/** What a handler throws to answer with a status and a text. */
export class ApiError extends Error {
  readonly status: 400 | 404

  constructor(status: 400 | 404, text: string) {
    super(text)
    this.status = status
  }
}

/** A JSON answer as Go's encoder writes it: with a line feed at its end. */
export function jsonAnswer(value: unknown, status = 200): Response {
  return new Response(`${JSON.stringify(value)}\n`, { status, headers: { 'Content-Type': 'application/json' } })
}

/** Registers one route; any other method is answered with 405, as frp's router does. */
export function route<E extends Env>(
  app: Hono<E>,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  handler: (context: Context<E>) => Response,
): void {
  app.on(method, path, handler)
  app.all(path, () => new Response(null, { status: 405 }))
}

/** Go's text for a path that nobody serves. */
export function notFound(): Response {
  return new Response('404 page not found\n', {
    status: 404,
    headers: { 'Content-Type': 'text/plain; charset=utf-8' },
  })
}
