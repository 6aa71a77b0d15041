import {
  close,
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { basename, dirname, extname, join } from 'node:path'
import { messageOf } from '../contract/errors.ts'

/** A full disk is asked again this often; lines of the time in between are counted and dropped. */
const RETRY_MS = 10_000
/** Lines that wait for a slow disk, in UTF-16 units; more are counted and dropped: a log never grows memory. */
const MAX_WAITING = 1024 * 1024
const DAY_MS = 86_400_000

/** What a test lends instead of the real ones. */
export interface LogFileClock {
  nowMs(): number
  monotonicMs(): number
}

const REAL_CLOCK: LogFileClock = { nowMs: () => Date.now(), monotonicMs: () => performance.now() }

/**
 * A log file as frp keeps it (golib log/output_rotatefile.go): appended, mode 0600, at local midnight renamed to
 * `name.YYYYMMDD-HHMMSS.ext`, old ones removed. Written in the background, one batch at a time; the process's
 * end writes what waits. What goes wrong is counted and told in the file once it can be written again.
 */
export class LogFile {
  /** Lines that were dropped since the last that was written. */
  lost = 0
  private readonly path: string
  private readonly maxDays: number
  private readonly clock: LogFileClock
  private descriptor: number | undefined
  /** Local day of the lines in the open file. */
  private day = ''
  private waiting: string[] = []
  private waitingLength = 0
  private isWriting = false
  private retryAtMs = Number.NEGATIVE_INFINITY
  private lastProblem = ''
  private closing: { promise: Promise<void>; done: () => void } | undefined

  constructor(path: string, maxDays: number, clock: LogFileClock = REAL_CLOCK) {
    this.path = path
    this.maxDays = maxDays
    this.clock = clock
    process.on('exit', this.writeRest)
  }

  /** Queues `line`, which ends with a newline. */
  write(line: string): void {
    if (this.closing !== undefined) return
    if (this.waitingLength + line.length > MAX_WAITING || this.clock.monotonicMs() < this.retryAtMs) {
      this.lost += 1
      return
    }
    this.waiting.push(line)
    this.waitingLength += line.length
    if (!this.isWriting) this.writeSoon()
  }

  /** Resolves when what waited is written or lost and the file is closed; lines after it are dropped. */
  close(): Promise<void> {
    if (this.closing === undefined) {
      let done = () => {}
      const promise = new Promise<void>((resolve) => {
        done = resolve
      })
      this.closing = { promise, done }
      process.off('exit', this.writeRest)
      if (!this.isWriting) this.finish()
    }
    return this.closing.promise
  }

  /** One write for all lines of a turn. */
  private writeSoon(): void {
    this.isWriting = true
    setImmediate(this.writeBatch)
  }

  private readonly writeBatch = (): void => {
    try {
      const descriptor = this.fileOfToday()
      const batch = this.takeBatch()
      this.writeWhole(descriptor, Buffer.from(batch.text), 0, batch.lines)
    } catch (error) {
      this.failed(error, 0)
    }
  }

  /** A disk that is nearly full takes a part: the rest is tried until it says why. */
  private writeWhole(descriptor: number, bytes: Buffer, offset: number, lines: number): void {
    write(descriptor, bytes, offset, bytes.length - offset, null, (error, written) => {
      if (error !== null) this.failed(error, lines)
      else if (offset + written < bytes.length) this.writeWhole(descriptor, bytes, offset + written, lines)
      else this.goOn()
    })
  }

  private goOn(): void {
    this.isWriting = false
    if (this.waiting.length > 0) this.writeSoon()
    else if (this.closing !== undefined) this.finish()
  }

  private failed(error: unknown, lines: number): void {
    this.isWriting = false
    this.lost += lines + this.waiting.length
    this.waiting = []
    this.waitingLength = 0
    this.lastProblem = messageOf(error)
    this.retryAtMs = this.clock.monotonicMs() + RETRY_MS
    // Opened anew next time: the disk may have been remounted, the folder made.
    if (this.descriptor !== undefined) close(this.descriptor, () => undefined)
    this.descriptor = undefined
    if (this.closing !== undefined) this.finish()
  }

  private takeBatch(): { text: string; lines: number } {
    const lines = this.waiting
    this.waiting = []
    this.waitingLength = 0
    if (this.lost === 0) return { text: lines.join(''), lines: lines.length }
    const reason = this.lastProblem === '' ? 'the disk was slow' : this.lastProblem
    const notice = `(${this.lost} lines of this log were lost: ${reason})\n`
    // Should this batch be lost too, those that its notice tells of are again among the lost.
    const counted = this.lost + lines.length
    this.lost = 0
    this.lastProblem = ''
    return { text: notice + lines.join(''), lines: counted }
  }

  private fileOfToday(): number {
    const now = new Date(this.clock.nowMs())
    const today = dayOf(now)
    this.descriptor ??= this.open()
    if (this.day === today) return this.descriptor
    closeSync(this.descriptor)
    this.descriptor = undefined
    renameSync(this.path, this.freeName(today))
    this.removeOld(now)
    this.descriptor = this.open()
    this.day = today
    return this.descriptor
  }

  private open(): number {
    mkdirSync(dirname(this.path), { recursive: true })
    const descriptor = openSync(this.path, 'a', 0o600)
    const stat = fstatSync(descriptor)
    // A device or pipe has no days and cannot be rotated; an empty file has nothing to keep.
    const isPlain = stat.isFile() && stat.size > 0
    this.day = dayOf(new Date(isPlain ? stat.mtimeMs : this.clock.nowMs()))
    return descriptor
  }

  /** The midnight at which the rotation was due; a second one of that day takes the next free second. */
  private freeName(today: string): string {
    const extension = extname(this.path)
    const stem = this.path.slice(0, this.path.length - extension.length)
    const taken = new Set(readdirSync(dirname(this.path)))
    for (let second = 0; ; second++) {
      const name = `${stem}.${today}-${String(second).padStart(6, '0')}${extension}`
      if (second === 59 || !taken.has(basename(name))) return name
    }
  }

  private removeOld(now: Date): void {
    if (this.maxDays <= 0) return
    const folder = dirname(this.path)
    const extension = extname(this.path)
    const stem = `${basename(this.path, extension)}.`
    for (const name of readdirSync(folder)) {
      if (!name.startsWith(stem) || !name.endsWith(extension)) continue
      const rotatedMs = timeOfBackup(name.slice(stem.length, name.length - extension.length))
      if (rotatedMs === undefined || rotatedMs >= now.getTime() - this.maxDays * DAY_MS) continue
      try {
        unlinkSync(join(folder, name))
      } catch {
        // It stays until the next midnight: a file too many is no reason to stop logging.
      }
    }
  }

  private finish(): void {
    this.writeRest()
    if (this.descriptor !== undefined) closeSync(this.descriptor)
    this.descriptor = undefined
    this.closing?.done()
  }

  private readonly writeRest = (): void => {
    if (this.waiting.length === 0) return
    try {
      writeSync(this.fileOfToday(), this.takeBatch().text)
    } catch {
      // The process ends, or whoever closed us does not ask: nobody is left to be told.
    }
  }
}

function dayOf(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0')
  return `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`
}

/** Local time of `20060102-150405` in ms, or undefined when it is something else. */
function timeOfBackup(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)$/.exec(text)?.slice(1).map(Number)
  if (parts === undefined) return undefined
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = parts
  return new Date(year, month - 1, day, hour, minute, second).getTime()
}
