import { hexOf } from '../../contract/bytes.ts'
import type { Crypto } from '../../contract/runtime.ts'

/** 128 bits: a run id opens work connections, so it must not be guessed. */
const RUN_ID_BYTES = 16
const PUBLIC_ID_BYTES = 8

/** A new run id, 32 hex digits. */
export function newRunId(crypto: Crypto): string {
  return hexOf(crypto.randomBytes(RUN_ID_BYTES))
}

/** What logs and APIs of both ends show in place of a run id, which is a secret: 16 hex digits of its SHA-256. */
export function publicIdOf(runId: string, crypto: Crypto): string {
  return hexOf(crypto.sha256(new TextEncoder().encode(runId)).subarray(0, PUBLIC_ID_BYTES))
}
