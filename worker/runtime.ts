import { Deadlines } from '../contract/deadlines.ts'
import type { Deadline, Log, LogLevel, Runtime } from '../contract/runtime.ts'
import { workerCrypto } from './crypto.ts'

/** A Durable Object as a runtime: it may sleep exactly when nothing is open here. */
export class HubRuntime implements Runtime {
  readonly crypto = workerCrypto
  readonly log: Log
  /** A timer of the platform costs more than most of what a request does here: one serves all, and none is kept for nobody. */
  private readonly deadlines = new Deadlines({
    monotonicMs: () => this.monotonicMs(),
    arm: (delayMs, run) => {
      const timer = setTimeout(run, delayMs)
      return () => clearTimeout(timer)
    },
  })
  private readonly afterEvent: () => void

  /** `afterEvent` is called after each deadline that ran, as after every event of the object. */
  constructor(level: LogLevel, afterEvent: () => void) {
    this.log = consoleLog(level, '')
    this.afterEvent = afterEvent
  }

  nowMs(): number {
    return Date.now()
  }

  /** Date's clock: deadlines and saved times must mean the same in the isolate that wakes. It moves between events only. */
  monotonicMs(): number {
    return Date.now()
  }

  after(delayMs: number, run: () => void): Deadline {
    return this.deadlines.after(delayMs, () => {
      run()
      this.afterEvent()
    })
  }

  /** Nobody waits for anything. */
  get isQuiet(): boolean {
    return this.deadlines.size === 0
  }
}

const LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

/** Lines of frp's form for `wrangler tail`, which adds the time; one event is one line. */
function consoleLog(level: LogLevel, prefix: string): Log {
  const lowest = LEVELS.indexOf(level)
  const write = (lineLevel: LogLevel, message: string): void => {
    if (LEVELS.indexOf(lineLevel) < lowest) return
    const line = `[${(lineLevel[0] ?? '').toUpperCase()}] ${prefix}${message}`.replace(
      /\p{Cc}|[\u2028\u2029]/gu,
      escaped,
    )
    if (lineLevel === 'error') console.error(line)
    else if (lineLevel === 'warn') console.warn(line)
    else console.log(line)
  }
  return {
    trace: (message) => write('trace', message),
    debug: (message) => write('debug', message),
    info: (message) => write('info', message),
    warn: (message) => write('warn', message),
    error: (message) => write('error', message),
    enabled: (asked) => LEVELS.indexOf(asked) >= lowest,
    child: (name) => consoleLog(level, `${prefix}[${name}] `),
  }
}

function escaped(control: string): string {
  return `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`
}
