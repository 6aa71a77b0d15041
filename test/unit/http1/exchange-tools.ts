import type { FrpError } from '../../../contract/errors.ts'
import type { BodyFraming } from '../../../protocol/http1/body.ts'
import {
  Exchange,
  type ExchangeHandler,
  type ExchangeOptions,
  type OutgoingRequest,
} from '../../../protocol/http1/exchange.ts'
import { Fields, type ResponseHead } from '../../../protocol/http1/head.ts'
import type { ByteStream, Link, StreamHandler } from '../../../protocol/stream/byte-stream.ts'
import { pair } from '../../../protocol/stream/pair.ts'
import { bytesOf, textOf } from './tools.ts'

/** A request to `a`; framing by `change`. */
export function outgoing(change: Partial<OutgoingRequest> = {}): OutgoingRequest {
  return {
    method: 'GET',
    target: '/',
    fields: Fields.of(['Host', 'a']),
    isChunked: false,
    contentLength: -1,
    ...change,
  }
}

/** Remembers the calls of an exchange, and overwrites each slice that it answers `true`. */
export class Recorder implements ExchangeHandler {
  /** In order: `100`, `head 200 length`, `body`, `end`, `upgraded`, `drain`, or the code of an error. */
  readonly calls: string[] = []
  body = ''
  trailers: Fields | undefined
  head: ResponseHead | undefined
  error: FrpError | undefined
  rest = ''
  /** Asked for each slice; `true` by default. */
  answer: (slice: Uint8Array, headRoom: number) => boolean = () => true
  atHead: () => void = () => {}
  atUpgrade: (stream: ByteStream, rest: Uint8Array) => void = () => {}

  onInformational(head: ResponseHead): void {
    this.calls.push(String(head.status))
  }

  onHead(head: ResponseHead, framing: BodyFraming): void {
    this.head = head
    this.calls.push(`head ${head.status} ${framing.type}`)
    this.atHead()
  }

  onBody(slice: Uint8Array, headRoom: number): boolean {
    this.body += textOf(slice)
    if (this.calls.at(-1) !== 'body') this.calls.push('body')
    const isUsed = this.answer(slice, headRoom)
    if (isUsed) slice.fill(0xee)
    return isUsed
  }

  onBodyEnd(trailers: Fields | undefined): void {
    this.trailers = trailers
    this.calls.push('end')
  }

  onDrain(): void {
    this.calls.push('drain')
  }

  onUpgraded(stream: ByteStream, head: ResponseHead, rest: Uint8Array): void {
    this.head = head
    this.rest = textOf(rest)
    this.calls.push('upgraded')
    this.atUpgrade(stream, rest)
  }

  onError(error: FrpError): void {
    this.error = error
    this.calls.push(error.code)
  }
}

/** The server's end of a connection: what came, and what happened to it. */
export class Peer implements StreamHandler {
  received = ''
  ended = false
  closed: Error | null | undefined
  readonly link: Link

  constructor(link: Link) {
    this.link = link
    link.attach(this)
  }

  send(text: string): void {
    this.link.write(bytesOf(text))
  }

  onData(chunk: Uint8Array): boolean {
    this.received += textOf(chunk)
    return true
  }

  onEnd(): void {
    this.ended = true
  }

  onDrain(): void {}

  onClose(error?: Error): void {
    this.closed = error ?? null
  }
}

/** An exchange that has begun, with the server's end in hand. */
export function begin(request: OutgoingRequest = outgoing(), options: ExchangeOptions = {}) {
  const [ours, theirs] = pair()
  const recorder = new Recorder()
  const peer = new Peer(theirs)
  const exchange = new Exchange(ours, recorder, request, options)
  exchange.start()
  return { exchange, recorder, peer, stream: ours }
}
