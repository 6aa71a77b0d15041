/** A Buffer's bytes without its `slice`, which shares memory where a Uint8Array's copies: the neutral rooms rely on the copy. */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}
