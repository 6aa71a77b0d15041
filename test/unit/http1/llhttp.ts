/** Node's own HTTP parser as a second opinion: what ours accepts it must accept, and read the same way. */

/** One message as llhttp reads it. */
export interface Opinion {
  method: string
  url: string
  status: number
  fields: [name: string, value: string][]
  trailers: [name: string, value: string][]
  body: Uint8Array
  isComplete: boolean
  upgrade: boolean
}

interface Parser {
  initialize(type: number, resource: object): void
  execute(bytes: Uint8Array): number | Error
  [event: number]: (...values: never[]) => unknown
}

interface Binding {
  HTTPParser: (new () => Parser) & Record<string, number>
  methods: string[]
}

// An internal of Node that has no types; it is the one way to llhttp without a socket.
const { HTTPParser, methods } = (process as unknown as { binding(name: string): Binding }).binding('http_parser')

/** Methods that llhttp knows; it refuses all others. */
export const KNOWN_METHODS: readonly string[] = methods

/** The first message in `bytes`, or the error of llhttp. `skipBody`: the answer to a HEAD request. */
export function opinionOf(type: 'request' | 'response', bytes: Uint8Array, skipBody = false): Opinion | Error {
  const parser = new HTTPParser()
  parser.initialize(HTTPParser[type === 'request' ? 'REQUEST' : 'RESPONSE'] as number, {})
  const opinion: Opinion = {
    method: '',
    url: '',
    status: 0,
    fields: [],
    trailers: [],
    body: new Uint8Array(0),
    isComplete: false,
    upgrade: false,
  }
  let headIsOver = false
  const add = (list: string[] | undefined) => {
    for (let i = 0; list !== undefined && i < list.length; i += 2) {
      const target = headIsOver ? opinion.trailers : opinion.fields
      if (!opinion.isComplete) target.push([list[i] as string, list[i + 1] as string])
    }
  }
  const on = (event: string, run: (...values: never[]) => unknown) => {
    parser[(HTTPParser[event] as number) | 0] = run
  }
  on('kOnHeaders', (list: string[], url: string) => {
    add(list)
    if (!headIsOver) opinion.url += url
  })
  on(
    'kOnHeadersComplete',
    (_major, _minor, list: string[], method: number, url: string, status: number, _text, upgrade: boolean) => {
      if (opinion.isComplete) return 0
      add(list)
      headIsOver = true
      opinion.method = methods[method] ?? ''
      opinion.url += url ?? ''
      opinion.status = status
      opinion.upgrade = upgrade
      return skipBody ? 1 : 0
    },
  )
  on('kOnBody', (part: Uint8Array) => {
    if (!opinion.isComplete) opinion.body = Buffer.concat([opinion.body, part])
  })
  on('kOnMessageComplete', () => {
    opinion.isComplete = true
  })
  const result = parser.execute(Buffer.from(bytes))
  return result instanceof Error ? result : opinion
}
