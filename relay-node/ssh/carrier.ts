import type { Socket } from 'node:net'
import type { Connection } from 'ssh2'
import { FrpError } from '../../contract/errors.ts'

/** Answers to a client that does not read them; ssh2 has no bound of its own. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024

/** A channel that rides on the connection. */
export interface Passenger {
  /** Bytes that wait here for its reader. */
  readonly heldBytes: number
  /** The connection takes bytes again. */
  onRoom(): void
  /** Gives the channel up. */
  destroy(reason: Error): void
}

/**
 * The ssh connection below its channels. ssh2 hands whatever it is given to the socket, or to a queue while keys are
 * exchanged anew; so the channels ask here before they write, and what they hold is bounded here together.
 */
export class Carrier {
  private readonly socket: Socket
  private readonly maxHeldBytes: number
  private readonly passengers = new Set<Passenger>()
  private waiting = new Set<Passenger>()
  private isRekeying = false
  private held = 0

  constructor(socket: Socket, client: Connection, maxHeldBytes: number) {
    this.socket = socket
    this.maxHeldBytes = maxHeldBytes
    socket.on('drain', () => this.release())
    socket.on('data', () => {
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy()
    })
    client.on('rekey', () => {
      this.isRekeying = false
      this.release()
    })
  }

  get size(): number {
    return this.passengers.size
  }

  add(passenger: Passenger): void {
    this.passengers.add(passenger)
  }

  delete(passenger: Passenger): void {
    this.passengers.delete(passenger)
    this.waiting.delete(passenger)
  }

  /** Nothing should be written now; `waitForRoom` tells when. */
  get isFull(): boolean {
    return this.isRekeying || this.socket.writableNeedDrain
  }

  waitForRoom(passenger: Passenger): void {
    this.waiting.add(passenger)
  }

  /** Runs `write`, which answers whether ssh2 took all of so many bytes, and notices when they did not get to the socket. */
  write(length: number, write: () => boolean): boolean {
    const before = this.socket.bytesWritten
    const isTaken = write()
    if (isTaken && this.socket.bytesWritten - before < length) this.isRekeying = true
    return isTaken
  }

  /** A passenger holds so many bytes more, or less; past the bound the one that holds most has to go. */
  holds(difference: number): void {
    this.held += difference
    if (this.held <= this.maxHeldBytes) return
    let most: Passenger | undefined
    for (const one of this.passengers) if (most === undefined || one.heldBytes > most.heldBytes) most = one
    const bound = `${this.held} bytes wait for users of one ssh client, the limit is ${this.maxHeldBytes}`
    most?.destroy(new FrpError('LIMIT', bound))
  }

  /** The connection is gone: nothing that was under way has arrived. */
  cut(): void {
    const error = new FrpError('STREAM_CUT', 'the ssh connection ended')
    for (const one of [...this.passengers]) one.destroy(error)
  }

  private release(): void {
    const waiting = [...this.waiting]
    for (const one of waiting) {
      if (this.isFull) return
      if (this.waiting.delete(one)) one.onRoom()
    }
  }
}
