import { MAX_HTTP_FIELDS, MAX_HTTP_HEAD_BYTES } from '../limits.ts'

/** Bounds of one head. */
export interface HeadLimits {
  /** Bytes of start line and fields. */
  bytes: number
  fields: number
}

/** What holds unless a relay is configured otherwise. */
export const HEAD_LIMITS: HeadLimits = { bytes: MAX_HTTP_HEAD_BYTES, fields: MAX_HTTP_FIELDS }
