import { HEAD_ROOM } from '../limits.ts'
import { base64Bytes, base64Length, readBase64, writeBase64 } from './base64.ts'
import { address, type UdpAddress } from './fields.ts'
import type { OutgoingOf, UDPPacket } from './messages.ts'

// UDPPacket is the one message that comes for every datagram. What lies behind its payload is the same for all
// datagrams of one user: it is read and written once by the table of fields, and copied or compared from then on.

const BEGIN = new TextEncoder().encode('{"c":"')
const QUOTE = 0x22

/** Users whose addresses are remembered, each way: as many as there are sessions. A collision costs only time. */
const SLOTS = 4_096
/** The longest end that is remembered: two addresses in Go's spelling with a zone each. */
const MAX_TAIL_BYTES = 256

/** Datagrams share memory: an allocation of its own for each costs more than to fill it. */
const SLAB_BYTES = 64 * 1024
/** What is longer gets memory of its own. */
const MAX_SHARED_BYTES = SLAB_BYTES / 8

let slab = new Uint8Array(0)
let taken = 0

/** `bytes` of memory, all zero, which nobody else ever gets. */
function memory(bytes: number): Uint8Array {
  if (bytes > MAX_SHARED_BYTES) return new Uint8Array(bytes)
  if (bytes > slab.length - taken) {
    slab = new Uint8Array(SLAB_BYTES)
    taken = 0
  }
  taken += bytes
  return slab.subarray(taken - bytes, taken)
}

interface Known {
  /** From the quote that closes the payload to the end. */
  tail: Uint8Array
  l: UdpAddress | null
  r: UdpAddress | null
}

const known = Array.from({ length: SLOTS }, (): Known | undefined => undefined)

/** Reads a UDPPacket whose end was learned; undefined: only the table of fields can tell what it is. */
export function readKnown(json: Uint8Array): UDPPacket | undefined {
  const end = payloadEnd(json)
  if (end < 0 || json.length - end > MAX_TAIL_BYTES) return undefined
  const entry = known[slotOf(json, end)]
  if (entry === undefined || !endsWith(json, end, entry.tail)) return undefined
  const count = base64Bytes(json, BEGIN.length, end)
  if (count < 0) return undefined
  const c = memory(count)
  return readBase64(json, BEGIN.length, c) ? { type: 'UDPPacket', c, l: entry.l, r: entry.r } : undefined
}

/** Remembers the end of `json` that was read as `packet`, if it is what `written` says: what Go writes for it. */
export function learn(json: Uint8Array, packet: UDPPacket, written: Uint8Array): void {
  const end = payloadEnd(json)
  if (end < 0 || json.length - end > MAX_TAIL_BYTES || written.length !== json.length) return
  // Then nothing is behind the payload but the two addresses: no second payload, no key in another spelling.
  if (!endsWith(json, 0, written)) return
  known[slotOf(json, end)] = { tail: json.slice(end), l: copyOf(packet.l), r: copyOf(packet.r) }
}

/** Many messages will share it. */
function copyOf(given: UdpAddress | null): UdpAddress | null {
  return given && Object.freeze({ ...given })
}

/** Where the payload ends: at the first quote, as base64 has none and no escapes; -1: there is no payload first. */
function payloadEnd(json: Uint8Array): number {
  for (let i = 0; i < BEGIN.length; i++) if (json[i] !== BEGIN[i]) return -1
  return json.indexOf(QUOTE, BEGIN.length)
}

function slotOf(json: Uint8Array, from: number): number {
  let hash = 0
  for (let i = from; i < json.length; i++) hash = Math.imul(hash ^ (json[i] as number), 0x01000193)
  return (hash ^ (hash >>> 15)) & (SLOTS - 1)
}

/** Whether `json` is `tail` from `from` on. */
function endsWith(json: Uint8Array, from: number, tail: Uint8Array): boolean {
  if (json.length - from !== tail.length) return false
  for (let i = 0; i < tail.length; i++) if (json[from + i] !== tail[i]) return false
  return true
}

const tails = new Map<string, Uint8Array>()
const utf8 = new TextEncoder()

/**
 * A UDPPacket as Go writes it, behind `before` free bytes of the frame and `HEAD_ROOM` more; undefined for one
 * that has no payload, or another address than the user's.
 */
export function writeUdpPacket(message: OutgoingOf<'UDPPacket'>, before: number): Uint8Array | undefined {
  const { c, l, r } = message
  if (c === undefined || c.length === 0 || (l ?? null) !== null || !r || r.Zone !== '') return undefined
  const tail = tailOf(r)
  const at = before + BEGIN.length
  const frame = memory(HEAD_ROOM + at + base64Length(c.length) + tail.length).subarray(HEAD_ROOM)
  for (let i = 0; i < BEGIN.length; i++) frame[before + i] = BEGIN[i] as number
  const end = writeBase64(c, frame, at)
  for (let i = 0; i < tail.length; i++) frame[end + i] = tail[i] as number
  return frame
}

function tailOf(r: UdpAddress): Uint8Array {
  const key = `${r.Port} ${r.IP}`
  const old = tails.get(key)
  if (old !== undefined) return old
  if (tails.size >= SLOTS) tails.clear()
  const tail = utf8.encode(`","r":${address.write(r)}}`)
  tails.set(key, tail)
  return tail
}
