import { Deadlines } from '../contract/deadlines.ts'
import type { Log, Runtime } from '../contract/runtime.ts'
import { nodeCrypto } from './crypto.ts'
import { createLog } from './log.ts'

/**
 * What Node lends to the neutral rooms. Its one timer does not keep the process up by itself: a process lives
 * by its sockets and listeners, and a room that waits with none of these open holds it up on its own.
 */
export function nodeRuntime(log: Log = createLog()): Runtime {
  const deadlines = new Deadlines({
    monotonicMs: () => performance.now(),
    arm: (delayMs, run) => {
      const timer = setTimeout(run, delayMs)
      timer.unref()
      return () => clearTimeout(timer)
    },
  })
  return {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after: (delayMs, run) => deadlines.after(delayMs, run),
    crypto: nodeCrypto,
    log,
  }
}
