/** The snappy block format (google/snappy format_description.txt), with Go's matcher: the same bytes as golang/snappy. */

/** Uncompressed bytes in one block of the framing format. */
export const MAX_BLOCK_BYTES = 65_536
/** golang/snappy MaxEncodedLen(65536): no compressed block is longer. */
export const MAX_COMPRESSED_BYTES = 32 + MAX_BLOCK_BYTES + Math.floor(MAX_BLOCK_BYTES / 6)

const LITERAL = 0
const COPY_1 = 1
const COPY_2 = 2
/** So many bytes at the end are never looked up: the matcher may read 16 bytes without a check. */
const INPUT_MARGIN = 15
const MIN_MATCHED_BYTES = 17
const TABLE_BITS = 14

/** Where a hash was seen last, in the block being compressed: compression is synchronous, so one serves all. */
const table = new Uint16Array(1 << TABLE_BITS)

/**
 * Compresses `source`, at most 64 KiB, into `target` from `at` on, which has room for MAX_COMPRESSED_BYTES.
 * Answers the end of what was written.
 */
export function compressBlock(source: Uint8Array, target: Uint8Array, at: number): number {
  const { length } = source
  let end = at
  // The length as a varint.
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) target[end++] = (rest & 0x7f) | 0x80
  target[end++] = rest
  if (length === 0) return end
  return length < MIN_MATCHED_BYTES ? literal(source, 0, length, target, end) : matched(source, target, end)
}

function matched(source: Uint8Array, target: Uint8Array, at: number): number {
  const { length } = source
  const view = new DataView(source.buffer, source.byteOffset, length)
  let shift = 32 - 8
  let size = 1 << 8
  for (; size < 1 << TABLE_BITS && size < length; size *= 2) shift -= 1
  table.fill(0, 0, size)
  const limit = length - INPUT_MARGIN
  let end = at
  let emitted = 0
  let position = 1
  let nextHash = hash(view.getInt32(position, true), shift)
  for (;;) {
    // Skip faster the longer nothing matches.
    let skip = 32
    let next = position
    let candidate = 0
    let here = 0
    do {
      position = next
      next = position + (skip >> 5)
      skip += skip >> 5
      if (next > limit) return tail(source, emitted, target, end)
      candidate = table[nextHash] as number
      table[nextHash] = position
      here = view.getInt32(position, true)
      nextHash = hash(view.getInt32(next, true), shift)
    } while (here !== view.getInt32(candidate, true))
    end = literal(source, emitted, position, target, end)
    // Copies follow each other as long as the byte after one starts the next.
    for (;;) {
      const base = position
      position = matchEnd(view, candidate + 4, position + 4)
      end = copy(target, end, base - candidate, position - base)
      emitted = position
      if (position >= limit) return tail(source, emitted, target, end)
      table[hash(view.getInt32(position - 1, true), shift)] = position - 1
      here = view.getInt32(position, true)
      const slot = hash(here, shift)
      candidate = table[slot] as number
      table[slot] = position
      if (here !== view.getInt32(candidate, true)) break
    }
    nextHash = hash(view.getInt32(position + 1, true), shift)
    position += 1
  }
}

function hash(word: number, shift: number): number {
  return Math.imul(word, 0x1e35a7bd) >>> shift
}

function matchEnd(view: DataView, from: number, to: number): number {
  const length = view.byteLength
  let i = from
  let end = to
  while (end + 4 <= length && view.getInt32(i) === view.getInt32(end)) {
    i += 4
    end += 4
  }
  while (end < length && view.getUint8(i) === view.getUint8(end)) {
    i += 1
    end += 1
  }
  return end
}

function tail(source: Uint8Array, from: number, target: Uint8Array, at: number): number {
  return from < source.length ? literal(source, from, source.length, target, at) : at
}

function literal(source: Uint8Array, from: number, to: number, target: Uint8Array, at: number): number {
  const count = to - from - 1
  let end = at
  if (count < 60) target[end++] = (count << 2) | LITERAL
  else if (count < 256) {
    target[end++] = (60 << 2) | LITERAL
    target[end++] = count
  } else {
    target[end++] = (61 << 2) | LITERAL
    target[end++] = count
    target[end++] = count >> 8
  }
  // A loop is quicker than a subarray and `set` for the short ones, which are most.
  if (count < 32) for (let i = from; i < to; i++) target[end++] = source[i] as number
  else {
    target.set(source.subarray(from, to), end)
    end += to - from
  }
  return end
}

function copy(target: Uint8Array, at: number, offset: number, length: number): number {
  let end = at
  let rest = length
  while (rest >= 68) {
    end = copy2(target, end, offset, 64)
    rest -= 64
  }
  if (rest > 64) {
    end = copy2(target, end, offset, 60)
    rest -= 60
  }
  if (rest >= 12 || offset >= 2048) return copy2(target, end, offset, rest)
  target[end] = ((offset >> 8) << 5) | ((rest - 4) << 2) | COPY_1
  target[end + 1] = offset
  return end + 2
}

function copy2(target: Uint8Array, at: number, offset: number, length: number): number {
  target[at] = ((length - 1) << 2) | COPY_2
  target[at + 1] = offset
  target[at + 2] = offset >> 8
  return at + 3
}

/**
 * Decompresses the block in `source` into `target` from `at` on, which has room for 64 KiB. Answers the end of
 * what was written, or -1 for a block that is malformed or longer than that. Writes nothing outside that room.
 */
export function decompressBlock(source: Uint8Array, target: Uint8Array, at: number): number {
  const { length } = source
  let from = 0
  let size = 0
  for (let shift = 0; ; shift += 7) {
    const byte = source[from++]
    if (byte === undefined || shift > 14) return -1
    size |= (byte & 0x7f) << shift
    if (byte < 0x80) break
  }
  if (size > MAX_BLOCK_BYTES) return -1
  const stop = at + size
  let end = at
  while (from < length) {
    const tag = source[from++] as number
    let count = tag >> 2
    let offset = 0
    if ((tag & 3) === LITERAL) {
      if (count >= 60) {
        const extra = count - 59
        if (from + extra > length) return -1
        count = littleEndian(source, from, extra)
        from += extra
      }
      count += 1
      if (count > stop - end || count > length - from) return -1
      if (count < 32) for (let i = 0; i < count; i++) target[end + i] = source[from + i] as number
      else target.set(source.subarray(from, from + count), end)
      from += count
      end += count
      continue
    }
    if ((tag & 3) === COPY_1) {
      if (from >= length) return -1
      offset = ((tag & 0xe0) << 3) | (source[from++] as number)
      count = 4 + (count & 7)
    } else {
      const bytes = (tag & 3) === COPY_2 ? 2 : 4
      if (from + bytes > length) return -1
      offset = littleEndian(source, from, bytes)
      from += bytes
      count += 1
    }
    if (offset === 0 || offset > end - at || count > stop - end) return -1
    if (offset >= count && count >= 32) target.copyWithin(end, end - offset, end - offset + count)
    else for (let i = end - offset, to = end; to < end + count; i++, to++) target[to] = target[i] as number
    end += count
  }
  return end === stop ? end : -1
}

function littleEndian(source: Uint8Array, from: number, bytes: number): number {
  let value = 0
  for (let i = bytes - 1; i >= 0; i--) value = value * 256 + (source[from + i] as number)
  return value
}
