import type { ByteStream } from '../../protocol/stream/byte-stream.ts'
import { headerBytes, putHeader } from '../../protocol/websocket/frame.ts'
import { bytesOf, type Reader, web } from './services.ts'

const LENGTH_16 = 126
const LENGTH_64 = 127

export interface Frame {
  opcode: number
  payload: Uint8Array
}

/** The service's end of a WebSocket, frame by frame. */
export class ServerSocket {
  private readonly reader: Reader
  private readonly stream: ByteStream
  private last = Promise.resolve()

  constructor(reader: Reader, stream: ByteStream) {
    this.reader = reader
    this.stream = stream
  }

  /** The next frame, unmasked; a close when the stream ends without one. */
  async read(): Promise<Frame> {
    const [first = 0x88, second = 0] = await this.reader.take(2)
    const short = second & 127
    const lengthBytes = short === LENGTH_64 ? 8 : short === LENGTH_16 ? 2 : 0
    let length = lengthBytes === 0 ? short : 0
    for (const byte of await this.reader.take(lengthBytes)) length = length * 256 + byte
    const key = await this.reader.take((second & 128) === 0 ? 0 : 4)
    const payload = await this.reader.take(length)
    return { opcode: first & 15, payload: payload.map((byte, i) => byte ^ (key[i & 3] ?? 0)) }
  }

  write(opcode: number, payload: Uint8Array, isFinal = true): void {
    const header = headerBytes(payload.length, false)
    const frame = new Uint8Array(header + payload.length)
    putHeader(frame, 0, opcode, payload.length, undefined)
    if (!isFinal) frame[0] = opcode
    frame.set(payload, header)
    // In two pieces, so that the relay holds half a frame now and then.
    this.last = this.last.then(() => this.reader.write(frame.slice(0, 1))).then(() => this.reader.write(frame.slice(1)))
  }

  end(): void {
    void this.last.then(() => this.stream.end())
  }

  destroy(): void {
    this.stream.destroy()
  }
}

/** A web server that takes every upgrade; the WebSocket is `serve`'s. */
export function acceptedWeb(serve: (socket: ServerSocket) => Promise<void> | void): (work: ByteStream) => void {
  return web(async (_head, reader, work) => {
    work.write(bytesOf('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'))
    await serve(new ServerSocket(reader, work))
  })
}
