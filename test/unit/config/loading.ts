import { readFileSync } from 'node:fs'
import type { ConfigSource } from '../../../config/load.ts'
import { codeOf, messageOf } from '../../../contract/errors.ts'

/** A source from a text; the file name decides nothing but the words of an error. */
export function source(text: string, fileName: string, more: Partial<ConfigSource> = {}): ConfigSource {
  return { text, fileName, envs: {}, ...more }
}

/** A file of test/fixtures/configs. */
export function fixture(name: string): ConfigSource {
  return source(readFileSync(new URL(`../../fixtures/configs/${name}`, import.meta.url), 'utf8'), name)
}

/** `CODE` and the lines of what was thrown. */
export function failure(run: () => unknown): { code: string | undefined; lines: string[] } {
  try {
    run()
  } catch (error) {
    return { code: codeOf(error), lines: messageOf(error).split('\n') }
  }
  return { code: undefined, lines: [] }
}
