import { codeOf } from '../../../contract/errors.ts'
import { BodyReader, requestFraming } from '../../../protocol/http1/body.ts'
import { HeadReader, type RequestHead, readRequestHead } from '../../../protocol/http1/head.ts'

/** The latin-1 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

/** A request as ours reads it; `used` bytes belong to it. */
export interface ReadRequest {
  head: RequestHead
  body: string
  trailers: [string, string][]
  isComplete: boolean
  used: number
}

/** Reads the first request from pieces; undefined: its head is not complete. */
export function readRequest(pieces: readonly Uint8Array[]): ReadRequest | undefined {
  const heads = new HeadReader(readRequestHead)
  let body: BodyReader | undefined
  let result: ReadRequest | undefined
  for (const piece of pieces) {
    let at = 0
    if (result === undefined || body === undefined) {
      const found = heads.feed(piece)
      if (found === undefined) continue
      body = new BodyReader(requestFraming(found.head), 'HTTP_BAD_REQUEST')
      result = { head: found.head, body: '', trailers: [], isComplete: false, used: found.head.byteLength }
      at = found.bytesUsed
    }
    const current = result
    const end = body.consume(piece, at, (slice) => {
      current.body += textOf(slice)
      return true
    })
    result.used += end - at
  }
  if (result !== undefined && body !== undefined) {
    result.isComplete = body.isDone
    result.trailers = [...(body.trailers ?? [])]
  }
  return result
}

/** The code of the error that `run` throws, `'none'` without one; throws on when it is not ours. */
export function codeThrown(run: () => void): string {
  try {
    run()
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    return code
  }
  return 'none'
}

/** Every byte on its own. */
export function singles(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))
}
