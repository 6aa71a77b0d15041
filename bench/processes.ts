import { type ChildProcess, fork, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Answers, Command } from './load/commands.ts'

/** USER_HZ: the unit of /proc/PID/stat, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100
const START_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_MS = 3_000
const POLL_MS = 2
const CALL_TIMEOUT_MS = 60_000
const TYPE_STRIPPING = ['--experimental-strip-types', '--disable-warning=ExperimentalWarning']

/** User and system time of the processes so far, in seconds. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may hold blanks; state is field 3, utime and stime are 14 and 15.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / TICKS_PER_SECOND
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  if (found === null) throw new Error(`process ${pid} has no memory any more`)
  return Number(found[1]) * 1024
}

const SAMPLE_MS = 100

/** Samples until `stop`, which answers the highest value. */
export function peakOf(sample: () => number): { stop(): number } {
  let peak = sample()
  const timer = setInterval(() => {
    peak = Math.max(peak, sample())
  }, SAMPLE_MS)
  return {
    stop() {
      clearInterval(timer)
      return Math.max(peak, sample())
    },
  }
}

/** Resolves when somebody listens on the TCP port of loopback. */
export function listening(port: number): Promise<void> {
  return until(`nobody listens on port ${port}`, (found) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      found(true)
    })
    socket.once('error', () => found(false))
  })
}

/** Resolves when a byte sent to the port came back. */
export function firstByte(port: number): Promise<void> {
  return until(`nothing comes back from port ${port}`, (found) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('x'))
    socket.once('data', () => {
      found(true)
      socket.destroy()
    })
    socket.once('error', () => {})
    socket.once('close', () => found(false))
  })
}

async function until(failure: string, check: (found: (isTrue: boolean) => void) => void): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!(await new Promise<boolean>(check))) {
    if (performance.now() > deadline) throw new Error(failure)
    await wait(POLL_MS)
  }
}

/** What must not outlive the benchmark, however that ends. */
const running = new Set<ChildProcess>()

function endWithUs(child: ChildProcess): void {
  if (running.size === 0 && process.listenerCount('exit', killRunning) === 0) {
    process.on('exit', killRunning)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))
    // Whoever started us is gone (network.ts).
    process.on('disconnect', () => process.exit(1))
    // Listening holds the channel open, and with it a benchmark that is over.
    process.channel?.unref()
  }
  running.add(child)
  child.once('exit', () => running.delete(child))
}

function killRunning(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** A process that is measured. What it prints on its way down is shown only when it dies by itself. */
export class Measured {
  readonly pid: number
  private readonly child: ChildProcess
  private isStopping = false

  constructor(command: string, args: readonly string[], env: Record<string, string> = {}) {
    this.child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    endWithUs(this.child)
    let text = ''
    const note = (chunk: Buffer): void => {
      text = (text + chunk.toString()).slice(-2000)
    }
    this.child.stdout?.on('data', note)
    this.child.stderr?.on('data', note)
    this.child.on('exit', (code, signal) => {
      if (!this.isStopping) console.error(`${command} ${args.join(' ')} ended (${code ?? signal}):\n${text}`)
    })
    if (this.child.pid === undefined) throw new Error(`cannot start ${command}`)
    this.pid = this.child.pid
  }

  /** Ends it without a chance to say goodbye; resolves when it is gone. */
  async kill(): Promise<void> {
    this.isStopping = true
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    this.isStopping = true
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    // Gently first, so that a profile is written.
    this.child.kill('SIGTERM')
    const killer = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await gone
    clearTimeout(killer)
  }
}

/** A load generator or a service of ours in a process of its own, told what to do over IPC. */
export class LoadProcess {
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>()
  private nextId = 1
  readonly ready: Promise<void>

  constructor(file: string, args: readonly string[] = []) {
    const path = join(import.meta.dirname, 'load', file)
    this.child = fork(path, args, { execArgv: TYPE_STRIPPING, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.ready = new Promise((resolve, reject) => {
      this.child.once('message', () => resolve())
      this.child.once('exit', (code) => {
        const error = new Error(`${file} ${args.join(' ')} ended with ${code}`)
        reject(error)
        for (const { reject: fail } of this.waiting.values()) fail(error)
      })
    })
    // Awaited by who started it; an end later on is told to whoever waits for an answer.
    this.ready.catch(() => {})
    this.child.on('message', (message) => {
      if (typeof message !== 'object' || message === null || !('id' in message)) return
      // Sent by `serve` alone.
      const { id, answer } = message as { id: number; answer: unknown }
      this.waiting.get(id)?.resolve(answer)
      this.waiting.delete(id)
    })
  }

  /** Rejects when the process dies or does not answer in a minute. */
  call<C extends Command>(command: C): Promise<Answers[C['do']]> {
    const id = this.nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${JSON.stringify(command)}`)), CALL_TIMEOUT_MS)
      this.waiting.set(id, {
        resolve: (answer) => {
          clearTimeout(timer)
          // commands.ts pairs them.
          resolve(answer as Answers[C['do']])
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
      this.child.send({ id, command })
    })
  }

  stop(): void {
    this.child.disconnect()
  }
}
