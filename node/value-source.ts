import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { Log } from '../contract/runtime.ts'

/** A program that signs in somewhere to get a token may take seconds; one that takes longer than this is stuck. */
const SOURCE_MS = 30_000
/** A token has to fit into a message of 10,240 bytes: what is longer than this is another file or program. */
const MAX_VALUE_BYTES = 64 * 1024
/** What a program said before it failed: enough for its reason, little enough for a line. */
const MAX_REASON_BYTES = 1024

/** Where a secret is read from instead of the configuration (frp: `pkg/config/v1/value_source.go`). */
export interface ValueSource {
  type: string
  file: { path: string } | undefined
  exec: { command: string; args: string[]; env: { name: string; value: string }[] } | undefined
}

/** The part of `auth` that says where the token is. */
export interface TokenOptions {
  method: string
  token: string
  tokenSource: ValueSource | undefined
}

/**
 * The value of a source, without the white space around it. Rejects with CONFIG_FILE when a file cannot be read, a
 * program fails, or either takes longer than `timeoutMs` or gives more than 64 KiB.
 */
export async function resolveValue(source: ValueSource, timeoutMs = SOURCE_MS): Promise<string> {
  const { type, file, exec } = source
  const bytes =
    type === 'exec' && exec !== undefined
      ? await outputOf(exec, timeoutMs)
      : await contentOf(file?.path ?? '', timeoutMs)
  return bytes.toString('utf8').trim()
}

/**
 * Reads the token that `auth.tokenSource` names into `auth.token`, if tokens are what logs in (frp:
 * `pkg/auth/auth.go`). Rejects with CONFIG_FILE.
 */
export async function resolveToken(auth: TokenOptions, log: Log): Promise<void> {
  if (auth.tokenSource === undefined || auth.method !== 'token') return
  try {
    auth.token = await resolveValue(auth.tokenSource)
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `failed to resolve auth.tokenSource: ${messageOf(error)}`, { cause: error })
  }
  // frp takes it; whoever gave an empty file hardly meant that.
  if (auth.token === '') log.warn('auth.tokenSource gave an empty token, which everybody has')
}

async function contentOf(path: string, timeoutMs: number): Promise<Buffer> {
  const wrong = (why: string, cause?: unknown): FrpError =>
    new FrpError('CONFIG_FILE', `failed to read file ${path}: ${why}`, { cause })
  // A path may be a pipe (`/dev/fd/63`), so that neither its size nor its end is known before.
  const stream = createReadStream(path)
  const timer = setTimeout(() => stream.destroy(wrong(`nothing came within ${timeoutMs / 1000} s`)), timeoutMs)
  try {
    const bytes = await upTo(stream, MAX_VALUE_BYTES + 1)
    if (bytes.length > MAX_VALUE_BYTES) throw wrong(`it has more than ${MAX_VALUE_BYTES} bytes`)
    return bytes
  } catch (error) {
    throw error instanceof FrpError ? error : wrong(messageOf(error), error)
  } finally {
    clearTimeout(timer)
    stream.destroy()
  }
}

function outputOf({ command, args, env }: NonNullable<ValueSource['exec']>, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // No shell, as in frp: what is in the configuration is a program and its arguments.
    const child = spawn(command, args, {
      env: { ...process.env, ...Object.fromEntries(env.map(({ name, value }) => [name, value])) },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    // It works for nobody once we are gone.
    const kill = (): void => void child.kill('SIGKILL')
    process.once('exit', kill)
    const over = (): void => {
      clearTimeout(timer)
      process.off('exit', kill)
    }
    let output = Buffer.alloc(0)
    let reason = Buffer.alloc(0)
    const fail = (why: string, cause?: unknown): void => {
      over()
      kill()
      // A child of the child may hold the pipes open for longer than anybody waits.
      child.stdout.destroy()
      child.stderr.destroy()
      // Not the arguments: a secret may be among them.
      reject(new FrpError('CONFIG_FILE', `failed to execute command ${command}: ${why}`, { cause }))
    }
    const timer = setTimeout(() => fail(`it did not end within ${timeoutMs / 1000} s`), timeoutMs)
    child.stdout.on('data', (chunk: Buffer) => {
      output = Buffer.concat([output, chunk])
      if (output.length > MAX_VALUE_BYTES) fail(`it printed more than ${MAX_VALUE_BYTES} bytes`)
    })
    child.stderr.on('data', (chunk: Buffer) => {
      if (reason.length < MAX_REASON_BYTES) reason = Buffer.concat([reason, chunk]).subarray(0, MAX_REASON_BYTES)
    })
    child.on('error', (error) => fail(error.message, error))
    child.on('close', (code, signal) => {
      over()
      if (code === 0) {
        resolve(output)
        return
      }
      const said = reason.toString('utf8').trim()
      fail(`${signal === null ? `exit status ${code}` : `signal ${signal}`}${said === '' ? '' : `: ${said}`}`)
    })
  })
}

/** The first bytes of a stream: all of them, or at least `length`. */
async function upTo(stream: Readable, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let got = 0
  for await (const part of stream) {
    // a file without an encoding gives Buffers
    parts.push(part as Buffer)
    got += (part as Buffer).length
    if (got >= length) break
  }
  return Buffer.concat(parts)
}
