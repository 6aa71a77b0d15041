/** What a handler throws to answer with a status and frp's text. */
export class AdminError extends Error {
  readonly status: 400 | 404 | 409

  constructor(status: 400 | 404 | 409, text: string, options?: { cause?: unknown }) {
    super(text, options)
    this.status = status
  }
}

/** A JSON answer as Go's encoder writes it: with a line feed at its end. */
export function jsonAnswer(value: unknown, status = 200): Response {
  return new Response(`${JSON.stringify(value)}\n`, { status, headers: { 'Content-Type': 'application/json' } })
}
