/** "expand 32-byte k", the constants of ChaCha20 (RFC 8439 2.3). */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const
const DOUBLE_ROUNDS = 10

/**
 * The key of 32 bytes that XChaCha20 uses for a nonce whose first 16 bytes are `nonce`
 * (draft-irtf-cfrg-xchacha-03, 2.2). With it, ChaCha20 runs under the last 8 bytes behind four zeros.
 */
export function hchacha20(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  const state = new Uint32Array(16)
  state.set(CONSTANTS)
  const words = new DataView(key.buffer, key.byteOffset, 32)
  for (let i = 0; i < 8; i++) state[4 + i] = words.getUint32(4 * i, true)
  const input = new DataView(nonce.buffer, nonce.byteOffset, 16)
  for (let i = 0; i < 4; i++) state[12 + i] = input.getUint32(4 * i, true)
  for (let round = 0; round < DOUBLE_ROUNDS; round++) {
    quarter(state, 0, 4, 8, 12)
    quarter(state, 1, 5, 9, 13)
    quarter(state, 2, 6, 10, 14)
    quarter(state, 3, 7, 11, 15)
    quarter(state, 0, 5, 10, 15)
    quarter(state, 1, 6, 11, 12)
    quarter(state, 2, 7, 8, 13)
    quarter(state, 3, 4, 9, 14)
  }
  const out = new Uint8Array(32)
  const view = new DataView(out.buffer)
  for (let i = 0; i < 4; i++) {
    view.setUint32(4 * i, state[i] as number, true)
    view.setUint32(16 + 4 * i, state[12 + i] as number, true)
  }
  return out
}

/** RFC 8439 2.1, on four of the sixteen words. */
function quarter(state: Uint32Array, a: number, b: number, c: number, d: number): void {
  mix(state, a, b, d, 16)
  mix(state, c, d, b, 12)
  mix(state, a, b, d, 8)
  mix(state, c, d, b, 7)
}

/** `sum += added; mixed = (mixed ^ sum) <<< bits`. */
function mix(state: Uint32Array, sum: number, added: number, mixed: number, bits: number): void {
  // An element of 16 is there; a Uint32Array wraps by itself.
  state[sum] = (state[sum] as number) + (state[added] as number)
  const word = (state[mixed] as number) ^ (state[sum] as number)
  state[mixed] = (word << bits) | (word >>> (32 - bits))
}
