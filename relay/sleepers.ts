import type { Connection } from './connection.ts'

/**
 * What a runtime adds whose relay sleeps: where connections are kept while nothing of the relay is in memory.
 * Keys are those of the directory; a key that ends with a blank stands for all that begin with it.
 */
export interface Sleepers {
  /** Revives whoever owns one of the keys and sleeps. */
  wake(keys: readonly string[]): void
  /** Revives one connection by the name that it was saved under; undefined: it is gone. */
  wakeConnection(name: string): Connection | undefined
}

/** Of a relay that never sleeps. */
export const NO_SLEEPERS: Sleepers = {
  wake() {
    // Everybody is awake.
  },
  wakeConnection: () => undefined,
}
