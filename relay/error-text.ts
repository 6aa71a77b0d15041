import { codeOf, messageOf } from '../contract/errors.ts'

/** Characters of an error that go to a peer or into a line: it may quote a name that the peer made as long as it liked. */
const MAX_ERROR_TEXT = 1_024

/** What a client may read of an error: our own texts, never those of the runtime. */
export function clientText(error: unknown): string {
  return codeOf(error) === undefined ? 'internal error' : lineText(error)
}

/** Why something ended; of a stream of a session that is over, why that is. */
export function endText(error: Error): string {
  return lineText(codeOf(error) === 'SESSION_ENDED' && error.cause instanceof Error ? error.cause : error)
}

/** What a log line says of an error. */
export function lineText(error: unknown): string {
  const text = messageOf(error)
  return text.length > MAX_ERROR_TEXT ? `${text.slice(0, MAX_ERROR_TEXT)}…` : text
}
