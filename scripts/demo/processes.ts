import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'

/** Longest wait for a line of a process: workerd starts in two seconds, on a busy machine in ten. */
const LINE_MS = 30_000
/** How long a process may take to end by itself. */
const STOP_MS = 5_000

/** The processes of the demo; none outlives it. */
export class Processes {
  private readonly running = new Set<ChildProcess>()

  /** Starts a program and waits for a line of it; its output is kept for the error if none comes. */
  async start(args: [string, ...string[]], line: string | RegExp, env: Record<string, string> = {}): Promise<void> {
    const [program, ...rest] = args
    const child = spawn(program, rest, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    this.running.add(child)
    child.once('exit', () => this.running.delete(child))
    let output = ''
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${rest.join(' ')}: ${why}\n${output}`))
      const timer = setTimeout(() => fail(`no line ${line} in ${LINE_MS / 1000} s`), LINE_MS)
      const look = (bytes: Buffer) => {
        output += bytes.toString()
        if (typeof line === 'string' ? !output.includes(line) : !line.test(output)) return
        clearTimeout(timer)
        resolve()
      }
      child.stdout.on('data', look)
      child.stderr.on('data', look)
      child.once('exit', (code) => {
        clearTimeout(timer)
        fail(`ended with ${code}`)
      })
    })
  }

  async stop(): Promise<void> {
    await Promise.all([...this.running].map(stopped))
  }
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  child.kill('SIGINT')
  await ended
  clearTimeout(timer)
}

/** Ports that are free now. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve, reject) => {
          server.listen(0, '127.0.0.1', () => {
            const address = server.address()
            if (address === null || typeof address === 'string') reject(new Error('no port'))
            else resolve(address.port)
          })
        }),
    ),
  )
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
