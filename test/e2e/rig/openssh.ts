import { spawn, spawnSync } from 'node:child_process'
import type { CleanUp } from '../client-rig.ts'

/** Whether OpenSSH's `ssh` is there; a suite that skips says so. */
export const HAS_OPENSSH = spawnSync('ssh', ['-V']).status === 0
if (!HAS_OPENSSH) console.warn('SKIPPED: tests of the ssh gateway with OpenSSH need the program ssh')

export interface OpenSshTunnel {
  shows(wanted: string): Promise<string>
  /** Its exit status. */
  over: Promise<number | null>
  kill(signal: NodeJS.Signals): void
}

/** `ssh -R :80:127.0.0.1:LOCAL ...`; `shows` waits for a text on its standard output. */
export function openSsh(
  cleanUp: CleanUp,
  port: number,
  local: number,
  command: string,
  ...options: string[]
): OpenSshTunnel {
  const fixed = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR', 'BatchMode=yes']
  const args = fixed.flatMap((option) => ['-o', option])
  const target = ['-F', '/dev/null', '-p', String(port), '-R', `:80:127.0.0.1:${local}`, ...options, 'v0@127.0.0.1']
  const child = spawn('ssh', [...args, ...target, ...command.split(' ')], { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  const over = new Promise<number | null>((resolve) => child.once('close', resolve))
  cleanUp.add(async () => {
    child.kill('SIGKILL')
    await over
  })
  const shows = (wanted: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (text.includes(wanted)) resolve(text)
      }
      const take = (chunk: Buffer): void => {
        text += chunk.toString()
        look()
      }
      child.stdout.on('data', take)
      child.stderr.on('data', take)
      child.once('close', () => reject(new Error(`over without ${JSON.stringify(wanted)}: ${text}`)))
      look()
    })
  return { shows, over, kill: (signal: NodeJS.Signals) => child.kill(signal) }
}
