import type { Runtime } from '../contract/runtime.ts'

/** Resolves after a while, or as soon as `signal` says stop. */
export function pause(delayMs: number, runtime: Runtime, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      deadline.cancel()
      signal.removeEventListener('abort', over)
      resolve()
    }
    const deadline = runtime.after(delayMs, over)
    signal.addEventListener('abort', over)
  })
}
