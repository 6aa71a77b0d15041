import type { SavedInlet } from '../stream/inlet.ts'
import type { SnapshotReader, SnapshotWriter } from './snapshot-bytes.ts'
import type { YamuxStream } from './stream.ts'

/** In the order of their bits: append only, the format's version stands for this list. */
const STREAM_FLAGS = [
  'isOurs',
  'isSynDue',
  'isSynHeld',
  'isAckDue',
  'isGrantDue',
  'isFinDue',
  'isFinSent',
  'isEnded',
  'isUnanswered',
  'isPeerEnded',
  'hasCarried',
  'hasHeard',
] as const satisfies readonly (keyof YamuxStream)[]

const INLET_FLAGS = ['paused', 'ended', 'endDelivered', 'isKeeping'] as const satisfies readonly (keyof SavedInlet)[]

/** Writes all that a stream needs to go on, its id excepted. */
export function writeStream(to: SnapshotWriter, stream: YamuxStream): void {
  const inlet = stream.inlet.save()
  let bits = 0
  let bit = 1
  for (const name of STREAM_FLAGS) {
    if (stream[name]) bits += bit
    bit *= 2
  }
  for (const name of INLET_FLAGS) {
    if (inlet[name]) bits += bit
    bit *= 2
  }
  to.uint(bits)
  to.uint(stream.sendWindow)
  to.uint(stream.recvWindow)
  to.uint(stream.windowBytes)
  to.uint(stream.heldBytes)
  to.uint(stream.peakHeldBytes)
  to.uint(inlet.keptBytes)
  to.uint(inlet.headCount)
  to.uint(inlet.spareBytes)
  to.uint(inlet.waiting.length)
  for (const chunk of inlet.waiting) to.blob(chunk)
  to.blob(stream.loan ?? EMPTY)
}

/** Into a fresh stream that nobody has attached to. */
export function readStream(from: SnapshotReader, stream: YamuxStream): void {
  let bits = from.uint()
  for (const name of STREAM_FLAGS) {
    stream[name] = bits % 2 === 1
    bits = Math.floor(bits / 2)
  }
  const isSet = INLET_FLAGS.map((_, index) => Math.floor(bits / 2 ** index) % 2 === 1)
  const [paused = false, ended = false, endDelivered = false, isKeeping = false] = isSet
  stream.sendWindow = from.uint()
  stream.recvWindow = from.uint()
  stream.windowBytes = from.uint()
  const heldBytes = from.uint()
  const peakHeldBytes = from.uint()
  const keptBytes = from.uint()
  const headCount = from.uint()
  const spareBytes = from.uint()
  const waiting: Uint8Array[] = []
  for (let left = from.uint(); left > 0; left--) waiting.push(from.blob())
  stream.inlet.load({ waiting, headCount, spareBytes, keptBytes, isKeeping, paused, ended, endDelivered })
  stream.setHeld(heldBytes)
  stream.peakHeldBytes = peakHeldBytes
  const loan = from.blob()
  if (loan.length > 0) stream.lend(loan, EMPTY)
}

const EMPTY = new Uint8Array(0)
