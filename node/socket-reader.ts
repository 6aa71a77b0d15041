import type net from 'node:net'
import { HEAD_ROOM, SMALL_WRITE } from '../protocol/limits.ts'
import type { Inlet } from '../protocol/stream/inlet.ts'
import { ReadBuffer } from './read-buffer.ts'
import {
  adopt,
  canUseReadBuffer,
  handleOf,
  hasHandle,
  type ReadHandle,
  readBuffered,
  readOutBeforeFailing,
  replaceBuffer,
  tellEndFromReset,
} from './socket-handle.ts'

/** How bytes get from a socket into an inlet. */
export interface SocketReader {
  /** Reads if the inlet is open; harmless when it reads already. */
  start(): void
  /** Nothing more is read until `start`. */
  stop(): void
  /** A chunk that the inlet did not get rid of at once is free again. */
  released(): void
  close(): void
  /** What comes as the end now may be a reset: see {@link tellEndFromReset}. */
  readonly isEndDoubtful: boolean
}

/** A socket that has more than this in one go waits for the next turn: so others keep their latency (measured). */
const MAX_BYTES_PER_TURN = 256 * 1024
/** The same while somebody else exchanges small messages: a quarter of the speed of one stream for half his wait. */
const MAX_BYTES_PER_SHARED_TURN = 64 * 1024
/** So long after a small read the process counts as shared: longer than most people and protocols pause. */
const SHARED_MS = 100
/** A socket that read nothing for this long gives a large buffer back. */
const SWEEP_MS = 1_000

/** Until when, by `performance.now()`, those who read much leave more turns to those who read little. */
let sharedUntilMs = 0

/** What the reader has to know about its socket. */
export interface ReaderTraits {
  /** No TLS. */
  isPlain: boolean
  /** It carries the streams of many: a small read there is a window or a ping and says nothing of them. */
  isTunnel: boolean
}

/** The best reader for this socket on this runtime. */
export function socketReader(socket: net.Socket, inlet: Inlet, { isPlain, isTunnel }: ReaderTraits): SocketReader {
  const handle = handleOf(socket)
  const reads = handle !== undefined && isPlain && canUseReadBuffer()
  // Before the end is held: what comes here as the end is one for sure.
  if (reads) readOutBeforeFailing(socket)
  const reader = reads ? new BufferReader(socket, handle, inlet, isTunnel) : new EventReader(socket, inlet)
  tellEndFromReset(socket, isPlain, () => reader.isEndDoubtful)
  return reader
}

/** Turns of the event loop, counted while somebody reads. */
let turn = 0
let isCounting = false

function countTurn(): void {
  if (isCounting) return
  isCounting = true
  setImmediate(() => {
    isCounting = false
    turn += 1
  })
}

/** Reads by ordinary 'data' events: any runtime, and TLS (whose reads go on in one burst after a stop). */
class EventReader implements SocketReader {
  readonly isEndDoubtful = true
  private readonly socket: net.Socket
  private readonly inlet: Inlet
  private readonly onBytes: (bytes: Buffer) => void

  constructor(socket: net.Socket, inlet: Inlet) {
    this.socket = socket
    this.inlet = inlet
    socket.pause()
    this.onBytes = (bytes) => {
      // Each chunk is memory of its own, so who keeps it for good takes nothing from anybody.
      inlet.push(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), 0)
      if (inlet.isClosed) return
      // A reader that was paused and resumed inside could not start the socket while it was called.
      if (!inlet.isOpen) socket.pause()
      else if (socket.isPaused()) socket.resume()
    }
    socket.on('data', this.onBytes)
  }

  start(): void {
    if (this.inlet.isOpen && this.socket.isPaused()) this.socket.resume()
  }

  stop(): void {
    this.socket.pause()
  }

  released(): void {}

  close(): void {
    this.socket.off('data', this.onBytes)
    // What still comes is dropped; without a flow the socket would never see its end.
    this.socket.resume()
  }
}

/** Reads into one reused buffer: half the CPU per byte. */
class BufferReader implements SocketReader {
  private readonly socket: net.Socket
  private readonly handle: ReadHandle
  private readonly inlet: Inlet
  private readonly buffer = new ReadBuffer()
  private readonly isTunnel: boolean
  private isReading = false
  private isClosed = false
  /** Had its share of this turn. */
  private isResting = false
  private turnBytes = 0
  private wasQuiet = false
  private isSwept = false
  /** The turn of the last read that left room in the buffer. */
  private shortReadTurn = -1

  constructor(socket: net.Socket, handle: ReadHandle, inlet: Inlet, isTunnel: boolean) {
    this.socket = socket
    this.handle = handle
    this.inlet = inlet
    this.isTunnel = isTunnel
    socket.pause()
    for (let bytes = readBuffered(socket); bytes !== null; bytes = readBuffered(socket)) {
      inlet.push(new Uint8Array(bytes), 0)
    }
    this.halt()
    adopt(
      socket,
      handle,
      () => this.buffer.current,
      (length) => this.read(length),
    )
  }

  start(): void {
    if (this.isReading || this.isResting || this.isClosed || !this.inlet.isOpen) return
    if (!hasHandle(this.socket, this.handle)) return
    this.isReading = true
    this.handle.reading = true
    const code = this.handle.readStart()
    if (code !== 0) this.socket.destroy(new Error(`cannot read from the socket: error ${code}`))
  }

  stop(): void {
    if (this.isReading) this.halt()
  }

  /** libuv takes a hang-up for the end only right behind a short read. */
  get isEndDoubtful(): boolean {
    return this.shortReadTurn === turn
  }

  released(): void {
    this.buffer.returned()
  }

  close(): void {
    this.isClosed = true
    this.stop()
  }

  /** Node's callback: `length` bytes are in the buffer. `false` stops the reading. */
  private read(length: number): boolean {
    const memory = this.buffer.current
    const isFull = length === memory.length
    if (!isFull) {
      this.shortReadTurn = turn
      countTurn()
    }
    const isShared = this.isShared(length)
    this.wasQuiet = false
    this.buffer.isBounded = isShared
    if (!this.inlet.isOpen) {
      // Not reached while reading stops in time; a copy costs little and keeps the buffer ours.
      this.inlet.push(memory.slice(0, length), 0)
    } else if (this.inlet.push(isFull ? memory : memory.subarray(0, length), HEAD_ROOM)) {
      this.buffer.used(length, true)
    } else if (!this.inlet.isLent) {
      this.buffer.lost(length)
    } else {
      this.buffer.used(length, false)
    }
    if (this.buffer.isLarge && !this.isSwept) this.sweepLater()
    // libuv goes on within the turn only after a full read.
    this.turnBytes = isFull ? this.turnBytes + length : 0
    if (this.turnBytes >= (isShared ? MAX_BYTES_PER_SHARED_TURN : MAX_BYTES_PER_TURN)) this.rest()
    const goesOn = this.inlet.isOpen && !this.isResting && !this.isClosed
    // A reader that paused and resumed inside has stopped the handle.
    if (goesOn) this.start()
    this.isReading = goesOn
    return goesOn
  }

  /** Whether others with small messages want their turn; a small read of this one tells so to those who read much. */
  private isShared(length: number): boolean {
    const nowMs = performance.now()
    if (this.buffer.isLarge) return nowMs < sharedUntilMs
    if (length <= SMALL_WRITE && !this.isTunnel) sharedUntilMs = nowMs + SHARED_MS
    return false
  }

  private rest(): void {
    this.turnBytes = 0
    this.isResting = true
    setImmediate(() => {
      this.isResting = false
      this.start()
    })
  }

  private halt(): void {
    this.isReading = false
    if (!hasHandle(this.socket, this.handle)) return
    this.handle.reading = false
    this.handle.readStop()
  }

  private sweepLater(): void {
    // On Windows a read may be under way in the old buffer.
    if (process.platform === 'win32') return
    this.isSwept = true
    this.wasQuiet = false
    sweep(this)
  }

  /** Called once a second while the buffer is large; answers whether to call again. */
  swept(): boolean {
    this.isSwept = !this.isClosed && this.buffer.isLarge && hasHandle(this.socket, this.handle)
    if (!this.isSwept) return false
    if (this.wasQuiet && this.inlet.isOpen && !this.isResting) {
      this.buffer.shrink()
      replaceBuffer(this.socket, this.handle, this.buffer.current)
      this.isSwept = false
    }
    this.wasQuiet = true
    return this.isSwept
  }
}

let sweeping: BufferReader[] = []
let sweepTimer: NodeJS.Timeout | undefined

function sweep(reader: BufferReader): void {
  sweeping.push(reader)
  sweepTimer ??= setInterval(() => {
    sweeping = sweeping.filter((one) => one.swept())
    if (sweeping.length > 0) return
    clearInterval(sweepTimer)
    sweepTimer = undefined
  }, SWEEP_MS).unref()
}
