import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { FrpsOptions } from '../config/load.ts'
import { FrpError, messageOf } from '../contract/errors.ts'

/** A command that prints a token and takes longer is stuck. */
const COMMAND_MS = 30_000

/** The token of `auth.token`, or what `auth.tokenSource` names, read now (frp: once, at the start). Throws CONFIG_FILE. */
export function tokenOf({ token, tokenSource }: FrpsOptions['auth']): string {
  if (tokenSource === undefined) return token
  const { type, file, exec } = tokenSource
  try {
    if (type !== 'exec' || exec === undefined) return readFileSync(file?.path ?? '', 'utf8').trim()
    const output = execFileSync(exec.command, exec.args, {
      env: { ...process.env, ...Object.fromEntries(exec.env.map(({ name, value }) => [name, value])) },
      encoding: 'utf8',
      timeout: COMMAND_MS,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    return output.trim()
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `auth.tokenSource: ${messageOf(error)}`, { cause: error })
  }
}
