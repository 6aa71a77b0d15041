import { readFileSync } from 'node:fs'
import { FrpError } from '../contract/errors.ts'

/** Go's texts for what opening a file mostly fails with; scripts know them. */
const GO_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
}

/** A configuration file's text with its name. Throws CONFIG_FILE with Go's text. */
export function readSourceFile(fileName: string): { text: string; fileName: string } {
  try {
    return { text: readFileSync(fileName, 'utf8'), fileName }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new FrpError('CONFIG_FILE', `open ${fileName}: ${GO_TEXTS[code] ?? code}`, { cause: error })
  }
}

/** The environment as templates and `http_proxy` see it. */
export function environment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).map(([key, value]) => [key, value ?? '']))
}
