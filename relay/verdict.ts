import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'

/** Longer than the keys of an issuer may take to come, and not longer than a client waits for an answer. */
const VERDICT_MS = 9_000

/**
 * Goes on with what a verifier says: at once where it knows, else when its promise settles. Until then a deadline
 * is open, so that a hub does not sleep, and what follows is an event of the runtime as any other.
 */
export function onVerdict<T>(
  runtime: Runtime,
  verify: () => T | Promise<T>,
  onVerified: (value: T) => void,
  onRefused: (error: unknown) => void,
): void {
  let answer: T | Promise<T>
  try {
    answer = verify()
  } catch (error) {
    onRefused(error)
    return
  }
  if (!(answer instanceof Promise)) {
    onVerified(answer)
    return
  }
  let isOver = false
  const once = (run: () => void): void => {
    if (isOver) return
    isOver = true
    deadline.cancel()
    runtime.after(0, run)
  }
  const deadline = runtime.after(VERDICT_MS, () => {
    isOver = true
    onRefused(new FrpError('TIMEOUT', `the credentials could not be checked within ${VERDICT_MS / 1000} s`))
  })
  answer.then(
    (value) =>
      once(() => {
        try {
          onVerified(value)
        } catch (error) {
          onRefused(error)
        }
      }),
    (error: unknown) => once(() => onRefused(error)),
  )
}
