import { readFile } from 'node:fs/promises'
import { messageOf } from '../contract/errors.ts'
import type { Log } from '../contract/runtime.ts'

/** Reads frp's custom404Page; undefined when there is none, or, with a line in the log, when it cannot be read. */
export function notFoundPage(path: string, log: Log): () => Promise<string | undefined> {
  if (path === '') return () => Promise.resolve(undefined)
  return async () => {
    try {
      return await readFile(path, 'utf8')
    } catch (error) {
      log.warn(`read custom 404 page error: ${messageOf(error)}`)
      return undefined
    }
  }
}
