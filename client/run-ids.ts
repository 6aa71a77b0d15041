import { readFileSync } from 'node:fs'
import { FrpError, messageOf } from '../contract/errors.ts'
import { isMissing, replaceFile } from '../node/replace-file.ts'

/** A run id of ours has 32 characters, of stock frps 16; a relay that sends a longer one is not remembered. */
const MAX_RUN_ID_LENGTH = 128
/** A state file holds one id per server: more bytes than this are not ours. */
const MAX_STATE_BYTES = 64 * 1024

/**
 * The run ids that servers gave us, by `address:port`: an id is offered to the server that gave it and to no
 * other. With a file they outlive the process, so that a restarted client takes its names over at once.
 */
export class RunIds {
  private readonly ids = new Map<string, string>()
  private readonly file: string | undefined
  private readonly warn: (message: string) => void

  constructor(file: string | undefined, warn: (message: string) => void) {
    this.file = file
    this.warn = warn
    if (file !== undefined) this.load(file)
  }

  get(server: string): string {
    return this.ids.get(server) ?? ''
  }

  set(server: string, runId: string): void {
    if (runId.length > MAX_RUN_ID_LENGTH || this.ids.get(server) === runId) return
    this.ids.set(server, runId)
    if (this.file !== undefined) this.save(this.file)
  }

  private load(file: string): void {
    try {
      const bytes = readFileSync(file)
      if (bytes.length > MAX_STATE_BYTES) {
        throw new FrpError('CONFIG_FILE', `${bytes.length} bytes, at most ${MAX_STATE_BYTES}`)
      }
      const state: unknown = JSON.parse(bytes.toString('utf8'))
      for (const [server, runId] of Object.entries(runIdsOf(state))) {
        if (typeof runId === 'string' && runId.length <= MAX_RUN_ID_LENGTH) this.ids.set(server, runId)
      }
    } catch (error) {
      if (isMissing(error)) return
      this.warn(`edgefrp.stateFile [${file}] is not used: ${messageOf(error)}`)
    }
  }

  private save(file: string): void {
    try {
      const text = JSON.stringify({ v: 1, runIds: Object.fromEntries(this.ids) })
      replaceFile(file, `${text}\n`)
    } catch (error) {
      // A client without its state file works; it only takes its names over more slowly after a restart.
      this.warn(`edgefrp.stateFile [${file}] cannot be written: ${messageOf(error)}`)
    }
  }
}

function runIdsOf(state: unknown): object {
  if (typeof state !== 'object' || state === null || !('runIds' in state)) return {}
  return typeof state.runIds === 'object' && state.runIds !== null ? state.runIds : {}
}
