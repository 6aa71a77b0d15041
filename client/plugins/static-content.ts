import type { Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { getMimeType } from 'hono/utils/mime'
import { FrpError } from '../../contract/errors.ts'

/** Bytes of a file that are read at a time: what is in memory of one, however large. */
const READ_BYTES = 256 * 1024
/** As Go: so much of a file without a known ending is looked at. */
const SNIFF_BYTES = 512
/** Below it compression gains nothing. */
const MIN_GZIP_BYTES = 1_024

/** A file that is open for reading. */
export interface OpenFile {
  handle: FileHandle
  /** Of its name the ending counts. */
  name: string
  stats: Stats
}

/** Answers a GET or HEAD with a file: whole, a part of it (Range), or that it is the same still. */
export async function sendFile(request: IncomingMessage, response: ServerResponse, file: OpenFile): Promise<void> {
  const { headers, method } = request
  const { size, mtime } = file.stats
  const modified = mtime.toUTCString()
  if (isNewer(mtime, headers['if-unmodified-since']) === true) return finish(response, 412, {})
  // Files have no ETag here, as in Go: whoever asks by one gets the file.
  const isSame = headers['if-none-match'] === undefined && isNewer(mtime, headers['if-modified-since']) === false
  if (isSame) return finish(response, 304, { 'Last-Modified': modified })

  const ifRange = headers['if-range']
  const isRangeWanted = ifRange === undefined || ifRange === modified
  const range = isRangeWanted ? rangeOf(headers.range, size) : undefined
  if (range === 'none') return finish(response, 416, { 'Content-Range': `bytes */${size}` })

  const type = await typeOf(file)
  const isPacked = range === undefined && acceptsGzip(headers['accept-encoding']) && isWorthPacking(type, size)
  const length = range === undefined ? size : range.end - range.start + 1
  response.writeHead(range === undefined ? 200 : 206, {
    'Accept-Ranges': 'bytes',
    'Content-Type': type,
    'Last-Modified': modified,
    ...(isPacked ? { 'Content-Encoding': 'gzip' } : { 'Content-Length': length }),
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${range.start}-${range.end}/${size}` }),
    ...(isTextual(type) ? { Vary: 'Accept-Encoding' } : {}),
  })
  if (method === 'HEAD' || length === 0) {
    response.end()
    return
  }
  const start = range?.start ?? 0
  const options = { start, end: start + length - 1, highWaterMark: READ_BYTES, autoClose: false }
  if (isPacked) {
    const { createGzip } = await import('node:zlib')
    await pipeline(file.handle.createReadStream(options), createGzip(), response)
    return
  }
  const bytes = file.handle.createReadStream(options)
  await pipeline(bytes, response, { end: false })
  // A file that became shorter meanwhile must not look complete.
  if (bytes.bytesRead === length) response.end()
  else response.destroy(new FrpError('HTTP_TRUNCATED', `the file ended after ${bytes.bytesRead} of ${length} bytes`))
}

function finish(response: ServerResponse, status: number, fields: Record<string, string>): void {
  response.writeHead(status, { ...fields, ...(status === 304 ? {} : { 'Content-Length': 0 }) })
  response.end()
}

/** Whether a file is newer than a field says, in whole seconds as HTTP has them; undefined without a date. */
function isNewer(mtime: Date, field: string | undefined): boolean | undefined {
  const time = Date.parse(field ?? '')
  return Number.isNaN(time) ? undefined : Math.floor(mtime.getTime() / 1000) * 1000 > time
}

/**
 * The part that is asked for; undefined: the whole file, also for several parts at once (RFC 9110 14.2 lets a
 * server ignore that); `none`: a part that is not there, or no range, as in Go.
 */
function rangeOf(field: string | undefined, size: number): { start: number; end: number } | 'none' | undefined {
  if (field === undefined || size === 0) return undefined
  const match = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/.exec(field)
  if (match === null) return /^bytes=[\d\s,-]*,[\d\s,-]*$/.test(field) ? undefined : 'none'
  const [, first = '', last = ''] = match
  if (first === '') {
    const count = Math.min(Number(last), size)
    return last === '' || count === 0 ? 'none' : { start: size - count, end: size - 1 }
  }
  const start = Number(first)
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  return start >= size || start > end ? 'none' : { start, end }
}

async function typeOf({ handle, name, stats }: OpenFile): Promise<string> {
  const known = getMimeType(basename(name))
  if (known !== undefined) return known.startsWith('text/') && !known.includes(';') ? `${known}; charset=utf-8` : known
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(SNIFF_BYTES, stats.size)), 0, undefined, 0)
  // Controls but those of texts: tab, line ends, form feed, escape.
  const isBinary = buffer.subarray(0, bytesRead).some((byte) => byte < 0x20 && ![9, 10, 12, 13, 27].includes(byte))
  return isBinary ? 'application/octet-stream' : 'text/plain; charset=utf-8'
}

function isTextual(type: string): boolean {
  return /^text\/|^application\/(json|xml|javascript|manifest|.*\+(json|xml))|^image\/svg/.test(type)
}

function isWorthPacking(type: string, size: number): boolean {
  return size >= MIN_GZIP_BYTES && isTextual(type)
}

function acceptsGzip(field: string | string[] | undefined): boolean {
  return String(field ?? '')
    .split(',')
    .some((part) => /^\s*gzip\s*(;|$)/i.test(part) && !/;\s*q=0(\.0*)?\s*$/i.test(part))
}
