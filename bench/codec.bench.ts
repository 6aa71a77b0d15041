import { crc32c } from '../protocol/frp/crc32c.ts'
import { compressBlock, decompressBlock, MAX_BLOCK_BYTES, MAX_COMPRESSED_BYTES } from '../protocol/frp/snappy-block.ts'
import { applyMask } from '../protocol/websocket/frame.ts'
import { encodeHeader, HEADER_BYTES, readUint32, TYPE_DATA } from '../protocol/yamux/frame.ts'
import { FrameParser } from '../protocol/yamux/frame-parser.ts'

// The codecs beside their naive twins, with no network in between: npm run bench:codec
// Each twin also checks the codec: both have to give the same answer.

const TOTAL_BYTES = 64 * 1024 * 1024
const ROUNDS = 3
const BODY_BYTES = 64 * 1024
const KEY = Uint8Array.of(0x12, 0x34, 0x56, 0x78)

/** A stream of yamux Data frames, cut where the kernel might. */
function yamuxChunks(): Uint8Array[] {
  const frame = new Uint8Array(HEADER_BYTES + BODY_BYTES).fill(7)
  encodeHeader(frame, 0, TYPE_DATA, 0, 1, BODY_BYTES)
  const all = new Uint8Array(frame.length * 64)
  for (let at = 0; at < all.length; at += frame.length) all.set(frame, at)
  const chunks: Uint8Array[] = []
  // A linear congruence, so that every run cuts at the same places.
  let random = 1
  for (let at = 0; at < all.length; ) {
    random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0
    const length = 1 + (random % 100_000)
    chunks.push(all.subarray(at, at + length))
    at += length
  }
  return chunks
}

function parseYamux(chunks: readonly Uint8Array[]): number {
  const parser = new FrameParser()
  let bytes = 0
  const sink = {
    isClosed: false,
    onFrame() {},
    onBody(slice: Uint8Array) {
      bytes += slice.length
      return true
    },
    onBodyEnd() {},
  }
  for (const chunk of chunks) parser.push(chunk, 0, sink)
  return bytes
}

/** Waits for whole frames in one growing buffer, as most parsers do. */
function parseYamuxNaively(chunks: readonly Uint8Array[]): number {
  let waiting = new Uint8Array(0)
  let bytes = 0
  for (const chunk of chunks) {
    const joined = new Uint8Array(waiting.length + chunk.length)
    joined.set(waiting)
    joined.set(chunk, waiting.length)
    waiting = joined
    while (waiting.length >= HEADER_BYTES) {
      const length = readUint32(waiting, 8)
      if (waiting.length < HEADER_BYTES + length) break
      bytes += waiting.slice(HEADER_BYTES, HEADER_BYTES + length).length
      waiting = waiting.slice(HEADER_BYTES + length)
    }
  }
  return bytes
}

function maskNaively(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] ?? 0) ^ (KEY[i & 3] ?? 0)
  return bytes[0] ?? 0
}

function mask(bytes: Uint8Array): number {
  applyMask(bytes, KEY, 0)
  return bytes[0] ?? 0
}

function crcNaively(bytes: Uint8Array): number {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

/** Gigabytes a second, the best of some rounds: whatever disturbs makes it slower. */
function speed(run: () => unknown, bytes: number, total = TOTAL_BYTES): number {
  let best = 0
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now()
    for (let done = 0; done < total; done += bytes) run()
    const passes = Math.ceil(total / bytes)
    best = Math.max(best, (passes * bytes) / 1e6 / (performance.now() - startedAt))
  }
  return best
}

/** Text that compresses about as a log does; the same at every run. */
function logLines(): Uint8Array {
  const block = new Uint8Array(MAX_BLOCK_BYTES)
  let text = ''
  for (let i = 0; text.length < block.length; i++) {
    text += `2026-01-01T00:00:${i % 60}Z GET /item/${Math.imul(i, 2_654_435_761) >>> 0} ${i % 7 === 0 ? 404 : 200}\n`
  }
  new TextEncoder().encodeInto(text, block)
  return block
}

function row(name: string, ours: number, naive?: number): void {
  const twin = naive === undefined ? '- | -' : `${naive.toFixed(2)} | ${(ours / naive).toFixed(1)}x`
  console.log(`| ${name} | ${ours.toFixed(2)} | ${twin} |`)
}

function same(name: string, ours: number, naive: number): void {
  if (ours !== naive) throw new Error(`${name}: ${ours}, its twin says ${naive}`)
}

const chunks = yamuxChunks()
const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
const block = logLines()
const compressed = new Uint8Array(MAX_COMPRESSED_BYTES)
const packed = compressed.subarray(0, compressBlock(block, compressed, 0))
const unpacked = new Uint8Array(MAX_BLOCK_BYTES)

same('yamux', parseYamux(chunks), parseYamuxNaively(chunks))
same('mask', mask(block.slice()), maskNaively(block.slice()))
same('crc32c', crc32c(block) >>> 0, crcNaively(block))

console.log(`Node ${process.version}\n\n| codec | GB/s | naive twin GB/s | ratio |\n|---|---|---|---|`)
row(
  'yamux frames, random cuts',
  speed(() => parseYamux(chunks), length, 16 * TOTAL_BYTES),
  speed(() => parseYamuxNaively(chunks), length),
)
row(
  'WebSocket mask, 64 KiB',
  speed(() => mask(block), block.length),
  speed(() => maskNaively(block), block.length),
)
row(
  'CRC-32C, 64 KiB',
  speed(() => crc32c(block), block.length),
  speed(() => crcNaively(block), block.length, TOTAL_BYTES / 8),
)
row(
  'snappy compress',
  speed(() => compressBlock(block, compressed, 0), block.length),
)
row(
  'snappy decompress',
  speed(() => decompressBlock(packed, unpacked, 0), block.length),
)
