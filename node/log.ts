import type { Log, LogLevel } from '../contract/runtime.ts'
import { LogFile } from './log-file.ts'

/** As frp's table `[log]`; what is absent has frp's default. */
export interface LogOptions {
  /** `console` (stdout, the default) or the path of a file. */
  to?: string
  level?: LogLevel
  /** Days that a rotated file is kept, 3 as in frp; 0 keeps all. */
  maxDays?: number
  /** Whether the console's lines have no colour; a file's never have, and what is no terminal neither. */
  disablePrintColor?: boolean
}

/** Takes whole lines; never throws, never waits. */
export interface LineSink {
  write(line: string): void
  close(): Promise<void>
}

const RANKS: Record<LogLevel, number> = { trace: 1, debug: 2, info: 3, warn: 4, error: 5 }
const MARKS: Record<LogLevel, string> = { trace: '[T]', debug: '[D]', info: '[I]', warn: '[W]', error: '[E]' }
/** golib log/output_console.go; the colour wraps the whole line, its end included. */
const COLOURS: Record<LogLevel, string> = { trace: '', debug: '1;36', info: '1;34', warn: '1;33', error: '1;31' }
const DEFAULT_MAX_DAYS = 3

/**
 * Lines as frp writes them, `2006-01-02 15:04:05.000 [I] [prefix] message`, but without the place in the
 * source: a stack for each line costs more than the line, and scripts match on the message.
 */
export function createLog(options: LogOptions = {}): Log & { close(): Promise<void> } {
  const level = options.level ?? 'info'
  const toConsole = options.to === undefined || options.to === '' || options.to === 'console'
  if (toConsole) return new LineLog(consoleSink(), RANKS[level], options.disablePrintColor !== true && isForEyes())
  return new LineLog(new LogFile(options.to ?? '', options.maxDays ?? DEFAULT_MAX_DAYS), RANKS[level], false)
}

/** frp colours always; a journal or a file that catches stdout has no use for it (no-color.org). */
function isForEyes(): boolean {
  return process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === ''
}

/** A log that writes to `sink`; for tests and for whoever has another place for lines. */
export function createLineLog(sink: LineSink, level: LogLevel, isColoured: boolean): Log & { close(): Promise<void> } {
  return new LineLog(sink, RANKS[level], isColoured)
}

class LineLog implements Log {
  private readonly sink: LineSink
  private readonly least: number
  private readonly isColoured: boolean
  private readonly prefix: string

  constructor(sink: LineSink, least: number, isColoured: boolean, prefix = '') {
    this.sink = sink
    this.least = least
    this.isColoured = isColoured
    this.prefix = prefix
  }

  trace(message: string): void {
    this.line('trace', message)
  }

  debug(message: string): void {
    this.line('debug', message)
  }

  info(message: string): void {
    this.line('info', message)
  }

  warn(message: string): void {
    this.line('warn', message)
  }

  error(message: string): void {
    this.line('error', message)
  }

  enabled(level: LogLevel): boolean {
    return RANKS[level] >= this.least
  }

  child(prefix: string): Log {
    return new LineLog(this.sink, this.least, this.isColoured, `${this.prefix}[${escapeControls(prefix)}] `)
  }

  close(): Promise<void> {
    return this.sink.close()
  }

  private line(level: LogLevel, message: string): void {
    if (RANKS[level] < this.least) return
    const line = `${timeOf(Date.now())} ${MARKS[level]} ${this.prefix}${escapeControls(message)}\n`
    const colour = this.isColoured ? COLOURS[level] : ''
    this.sink.write(colour === '' ? line : `\u001b[${colour}m${line}\u001b[0m`)
  }
}

/** C0, DEL, C1 (one of them begins an escape sequence by itself), and the line ends of Unicode. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is its purpose
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g

/** Names, hosts and errors come from strangers: none of them may end a line or speak to a terminal. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, (character) => {
    if (character === '\n') return '\\n'
    if (character === '\r') return '\\r'
    if (character === '\t') return '\\t'
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

let lastSecond = Number.NaN
let lastSecondText = ''

/** Local time as frp prints it; the part down to the second is made once a second. */
function timeOf(nowMs: number): string {
  const second = Math.floor(nowMs / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    const date = new Date(nowMs)
    const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
    lastSecondText = `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  }
  return `${lastSecondText}.${String(nowMs % 1000).padStart(3, '0')}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

let isStdoutGuarded = false

function consoleSink(): LineSink {
  if (!isStdoutGuarded) {
    isStdoutGuarded = true
    // Whoever read our lines is gone (EPIPE): that must not end the tunnels, and there is nowhere to say it.
    process.stdout.on('error', () => undefined)
  }
  return {
    // Synchronous for terminals, files and, outside Windows, pipes: a line before a crash is not lost.
    write: (line) => void process.stdout.write(line),
    close: () => Promise.resolve(),
  }
}
