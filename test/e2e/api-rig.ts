import { request } from 'node:http'

/** What a web server of ours answered. */
export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

/** A request with exactly these headers, which `fetch` would not send: Host, Origin, Sec-Fetch-Site. */
export function askWeb(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request(
      { host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false },
      (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(parts).toString('utf8'),
          }),
        )
      },
    )
    asking.on('error', reject)
    asking.end(options.body)
  })
}

/** The Authorization header of a user and a password. */
export function basic(user: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

/** An answer's JSON, for comparing with `toEqual` and `toMatchObject`. */
export async function json(answer: Promise<Answer>): Promise<unknown> {
  return JSON.parse((await answer).text)
}
