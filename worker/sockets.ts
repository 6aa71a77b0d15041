import { FrpError } from '../contract/errors.ts'
import { SMALL_WRITE } from '../protocol/limits.ts'
import type { Link, StreamHandler } from '../protocol/stream/byte-stream.ts'

/** A marker (a yamux ping) goes out after so many bytes; its answer says that the client has read them. */
const MARKER_BYTES = 256 * 1024
/** What may be under way to one client beyond the last answered marker: `send` queues without a bound. */
const MAX_UNANSWERED_BYTES = 1024 * 1024
const BATCH_BYTES = 16 * 1024
/** RFC 6455 5.5: a close frame has room for a reason of 123 bytes. */
const MAX_REASON_BYTES = 123

/** What has to outlive sleep of the send side. */
export interface SavedFlow {
  sentBytes: number
  answeredBytes: number
  markers: { ping: number; atBytes: number }[]
}

/** A hibernatable WebSocket of a client as a Link. Received messages come in through `receive`. */
export class HubSocket implements Link {
  /** Its tag, by which it is found after sleep. */
  readonly name: string
  readonly givesMemory = true
  /** Something changed since `saved` was told. */
  isDirty = true
  /** What was saved is in the object's storage. */
  isSpilled = false
  private readonly socket: WebSocket
  private readonly onWork: (socket: HubSocket) => void
  private handler: StreamHandler | undefined
  private batch = new Uint8Array(0)
  private batchLength = 0
  private isBlocked = false
  private isOver = false
  private isChecked: boolean
  private isEnded = false
  private flow: SavedFlow
  /** Sends a yamux ping and returns its id. */
  private ping: () => number | undefined = () => undefined

  /** `onWork`: bytes wait for the end of this event. */
  constructor(socket: WebSocket, name: string, onWork: (socket: HubSocket) => void, flow?: SavedFlow) {
    this.socket = socket
    this.name = name
    this.onWork = onWork
    this.isChecked = flow !== undefined
    this.flow = flow ?? { sentBytes: 0, answeredBytes: 0, markers: [] }
  }

  /** Who sends markers: known once the connection is there. */
  marksWith(ping: () => number | undefined): void {
    this.ping = ping
  }

  /** A message of the peer. What a handler keeps is its own: each message is memory of its own. */
  receive(bytes: Uint8Array): void {
    this.isDirty = true
    if (!this.isChecked && bytes.length > 0) {
      this.isChecked = true
      const refused = refuseFirstByte(bytes[0])
      if (refused !== undefined) {
        this.destroy(new FrpError('NOT_SUPPORTED', refused))
        return
      }
    }
    this.handler?.onData(bytes, 0)
  }

  /** The peer closed the socket; `error` unless it said goodbye. */
  closed(error: Error | undefined): void {
    if (this.isOver) return
    this.isOver = true
    if (error === undefined) this.handler?.onEnd()
    this.handler?.onClose(error)
  }

  /** The answer to a ping of ours. */
  answered(ping: number): void {
    const index = this.flow.markers.findIndex((marker) => marker.ping === ping)
    if (index < 0) return
    // Pings are answered in order.
    const marker = this.flow.markers[index]
    this.flow.markers.splice(0, index + 1)
    if (marker !== undefined) this.flow.answeredBytes = marker.atBytes
    if (!this.isBlocked || this.unanswered >= MAX_UNANSWERED_BYTES) return
    this.isBlocked = false
    this.handler?.onDrain()
  }

  write(chunk: Uint8Array): boolean {
    if (this.isOver || this.isEnded) return true
    this.isDirty = true
    if (chunk.length <= SMALL_WRITE) this.gather(chunk)
    else {
      this.flush()
      this.send(chunk)
    }
    // It was copied; false only asks to wait.
    this.isBlocked = this.unanswered >= MAX_UNANSWERED_BYTES
    return !this.isBlocked
  }

  end(): void {
    if (this.isOver || this.isEnded) return
    this.isEnded = true
    this.flush()
    this.socket.close(1000)
  }

  destroy(reason?: Error): void {
    if (this.isOver) return
    this.flush()
    this.isOver = true
    this.socket.close(1011, reasonText(reason?.message ?? 'aborted'))
    this.handler?.onClose(reason ?? new FrpError('STREAM_ABORTED', 'connection aborted by this side'))
  }

  pause(): void {
    // A Durable Object cannot stop receiving; the yamux windows are the only brake.
  }

  resume(): void {
    // See pause.
  }

  attach(handler: StreamHandler, head?: Uint8Array): void {
    this.handler = handler
    if (head !== undefined && head.length > 0) handler.onData(head, 0)
  }

  cork(): void {
    // Small writes are gathered in any case, until the end of the event.
  }

  /** Sends what was gathered; the hub calls it at the end of each event. */
  flush(): void {
    if (this.batchLength === 0 || this.isOver) return
    const bytes = this.batch.subarray(0, this.batchLength)
    this.batchLength = 0
    this.send(bytes)
  }

  /** What must outlive sleep, when nothing waits here. */
  save(): SavedFlow {
    return this.flow
  }

  private get unanswered(): number {
    return this.flow.sentBytes + this.batchLength - this.flow.answeredBytes
  }

  private gather(chunk: Uint8Array): void {
    if (this.batchLength + chunk.length > BATCH_BYTES) this.flush()
    if (this.batch.length === 0) this.batch = new Uint8Array(BATCH_BYTES)
    this.batch.set(chunk, this.batchLength)
    this.batchLength += chunk.length
    this.onWork(this)
  }

  private send(bytes: Uint8Array): void {
    const { flow } = this
    this.socket.send(bytes)
    flow.sentBytes += bytes.length
    const last = flow.markers.at(-1)?.atBytes ?? flow.answeredBytes
    if (flow.sentBytes - last < MARKER_BYTES) return
    // Noted before it is sent: the ping itself is gathered, and comes back here.
    const marker = { ping: -1, atBytes: flow.sentBytes }
    flow.markers.push(marker)
    const ping = this.ping()
    if (ping === undefined) flow.markers.pop()
    else marker.ping = ping
  }
}

/** A reason that fits a close frame. */
export function reasonText(text: string): string {
  const bytes = new TextEncoder().encode(text)
  return bytes.length <= MAX_REASON_BYTES ? text : new TextDecoder().decode(bytes.subarray(0, MAX_REASON_BYTES - 3))
}

/** First byte of TLS, and frp's mark in front of it. */
const TLS_BYTES: readonly number[] = [0x16, 0x17]
const YAMUX_BYTE = 0

/** Why a connection that does not begin with yamux is refused, or undefined. */
function refuseFirstByte(byte: number | undefined): string | undefined {
  if (byte === undefined || byte === YAMUX_BYTE) return undefined
  if (TLS_BYTES.includes(byte)) {
    return 'TLS inside the WebSocket: set transport.protocol = "wss", or transport.tls.enable = false'
  }
  return 'transport.tcpMux must be true for this relay: without it nothing can hold a sender back'
}
