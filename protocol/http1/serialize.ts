import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import type { BadMessage } from './field-lines.ts'
import { Fields } from './fields.ts'
import { isLineText, putLatin1, showText } from './text.ts'

/** What a request needs to be written; a `RequestHead` has it. */
export interface RequestParts {
  method: string
  /** The request target of the next hop: mostly a head's `path`. */
  target: string
  fields: Fields
}

/** What a response needs to be written; a `ResponseHead` has it. */
export interface ResponseParts {
  status: number
  reason: string
  fields: Fields
}

/**
 * A request head as HTTP/1.1, in latin-1, with HEAD_ROOM bytes before it in the same buffer. Throws
 * HTTP_BAD_REQUEST for a method or target that would break the line or is not latin-1.
 */
export function serializeRequestHead(head: RequestParts): Uint8Array {
  return serialize(`${head.method} ${head.target} HTTP/1.1`, head.fields, 'HTTP_BAD_REQUEST')
}

/** A response head as HTTP/1.1; the rest as {@link serializeRequestHead}, with HTTP_BAD_RESPONSE. */
export function serializeResponseHead(head: ResponseParts): Uint8Array {
  return serialize(`HTTP/1.1 ${head.status} ${head.reason}`, head.fields, 'HTTP_BAD_RESPONSE')
}

/** The last chunk of a body and the trailers, with a CR LF before it if the chunk before still owes one. */
export function serializeTrailers(owesLineEnd: boolean, trailers: Fields | undefined): Uint8Array {
  return serialize('0', trailers ?? new Fields(), 'HTTP_BAD_RESPONSE', owesLineEnd)
}

/**
 * Heads are cut one after the other out of one block: a typed array of its own costs more than the whole
 * text. A block is never written again, so a head may stay on loan as long as it likes.
 */
const BLOCK_BYTES = 32 * 1024
let block = new Uint8Array(0)
let blockUsed = 0

function serialize(line: string, fields: Fields, bad: BadMessage, owesLineEnd = false): Uint8Array {
  // Fields check what is put into them; the line comes from anywhere.
  if (!isLineText(line)) throw new FrpError(bad, `start line to send: ${showText(line)} is no latin-1 line`)
  const { names, values } = fields
  let text = owesLineEnd ? `\r\n${line}\r\n` : `${line}\r\n`
  for (let i = 0; i < names.length; i++) text += `${names[i]}: ${values[i]}\r\n`
  text += '\r\n'
  const out = room(text.length)
  putLatin1(text, out)
  return out
}

/** `length` fresh bytes with HEAD_ROOM before them. */
function room(length: number): Uint8Array {
  const needed = HEAD_ROOM + length
  if (block.length - blockUsed < needed) {
    block = new Uint8Array(Math.max(BLOCK_BYTES, needed))
    blockUsed = 0
  }
  blockUsed += needed
  return block.subarray(blockUsed - length, blockUsed)
}
