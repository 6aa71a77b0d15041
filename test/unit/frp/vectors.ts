import { readFileSync } from 'node:fs'

/** One of frp's wire vectors: `value` is hex unless the name has `.obs.`. */
export interface Vector {
  value: string
  note: string
  json?: string
}

const file: { vectors: Record<string, Vector> } = JSON.parse(
  readFileSync(new URL('../../fixtures/frp-vectors.json', import.meta.url), 'utf8'),
)

export const vectors = file.vectors

export function vector(name: string): Vector {
  const found = vectors[name]
  if (found === undefined) throw new Error(`no vector ${name}`)
  return found
}

/** The bytes of a vector, or of hex. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'))
}

export function bytesOf(name: string): Uint8Array {
  return hex(vector(name).value)
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
