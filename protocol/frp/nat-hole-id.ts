import { hexOf } from '../../contract/bytes.ts'
import type { Runtime } from '../../contract/runtime.ts'

const RANDOM_BYTES = 8

/** An id for a question about a hole, or for a meeting (frp: NewTransactionID, GenSid): Unix seconds and 16 hex digits. */
export function newNatHoleId({ nowMs, crypto }: Pick<Runtime, 'nowMs' | 'crypto'>): string {
  return `${Math.floor(nowMs() / 1000)}${hexOf(crypto.randomBytes(RANDOM_BYTES))}`
}
