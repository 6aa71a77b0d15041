import { connect, type Socket } from 'node:net'

/** An HTTP message as it went over the wire; names of fields as they were written. */
export interface RawMessage {
  start: string
  fields: [name: string, value: string][]
  body: string
  isChunked: boolean
  trailers: [name: string, value: string][]
}

/** What a client saw: answers before the final one, and that one. */
export interface RawAnswer {
  informational: RawMessage[]
  final: RawMessage
  /** The connection ended before the message did. */
  isCut: boolean
}

const PATIENCE_MS = 4_000

/** Reads HTTP messages off a socket, byte for byte; for tests only. */
export class RawReader {
  private readonly socket: Socket
  private text = ''
  private isEnded = false
  private changed: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    const over = (): void => {
      this.isEnded = true
      this.changed()
    }
    socket.on('data', (text: string) => {
      this.text += text
      this.changed()
    })
    socket.on('end', over)
    socket.on('close', over)
    socket.on('error', over)
  }

  /** One message; `hasBody` false: it ends with its head, whatever that says. Undefined: the connection is over. */
  async message(hasBody: (start: string) => boolean): Promise<(RawMessage & { isCut: boolean }) | undefined> {
    if (!(await this.until(() => this.text.includes('\r\n\r\n')))) return undefined
    const [start = '', ...lines] = this.cut(this.text.indexOf('\r\n\r\n') + 4)
      .slice(0, -4)
      .split('\r\n')
    const message = { start, fields: lines.map(fieldOf), body: '', isChunked: false, isCut: false, trailers: [] }
    if (!hasBody(start)) return message
    const length = fieldValue(message, 'content-length')
    if (fieldValue(message, 'transfer-encoding') === 'chunked')
      return await this.chunked({ ...message, isChunked: true })
    if (length === undefined && !start.startsWith('HTTP/')) return message
    const isWhole = await this.until(() => this.text.length >= Number(length ?? Number.POSITIVE_INFINITY))
    return { ...message, body: this.cut(Number(length ?? this.text.length)), isCut: !isWhole && length !== undefined }
  }

  private async chunked(message: RawMessage & { isCut: boolean }): Promise<RawMessage & { isCut: boolean }> {
    let { body } = message
    for (;;) {
      if (!(await this.until(() => this.text.includes('\r\n')))) return { ...message, body, isCut: true }
      const size = Number.parseInt(this.cut(this.text.indexOf('\r\n') + 2), 16)
      if (size === 0) break
      if (!(await this.until(() => this.text.length >= size + 2))) return { ...message, body, isCut: true }
      body += this.cut(size + 2).slice(0, -2)
    }
    const trailers: [string, string][] = []
    while (await this.until(() => this.text.includes('\r\n'))) {
      const line = this.cut(this.text.indexOf('\r\n') + 2).slice(0, -2)
      if (line === '') return { ...message, body, trailers }
      trailers.push(fieldOf(line))
    }
    return { ...message, body, trailers, isCut: true }
  }

  private cut(length: number): string {
    const part = this.text.slice(0, length)
    this.text = this.text.slice(length)
    return part
  }

  private async until(isSo: () => boolean): Promise<boolean> {
    while (!isSo()) {
      if (this.isEnded) return false
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => this.socket.destroy(), PATIENCE_MS)
        this.changed = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    return true
  }
}

/** Sends bytes as they are and reads the answer; `isHead`: the request was HEAD. */
export async function ask(port: number, request: string, isHead = false): Promise<RawAnswer | undefined> {
  const socket = connect(port, '127.0.0.1', () => socket.write(request, 'latin1'))
  const reader = new RawReader(socket)
  const informational: RawMessage[] = []
  try {
    for (;;) {
      const message = await reader.message((start) => !isHead && !/^HTTP\/1\.1 (1\d\d|204|304)/.test(start))
      if (message === undefined) return undefined
      const { isCut, ...final } = message
      if (!/^HTTP\/1\.1 1(?!01)/.test(final.start)) return { informational, final, isCut }
      informational.push(final)
    }
  } finally {
    socket.destroy()
  }
}

/** A field's value by its name in lower case; several are joined with a line break. */
export function fieldValue({ fields }: Pick<RawMessage, 'fields'>, name: string): string | undefined {
  const values = fields.filter(([one]) => one.toLowerCase() === name).map(([, value]) => value)
  return values.length === 0 ? undefined : values.join('\n')
}

function fieldOf(line: string): [string, string] {
  const colon = line.indexOf(':')
  return [line.slice(0, colon), line.slice(colon + 1).trim()]
}
