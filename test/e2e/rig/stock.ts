import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CleanUp, Lines } from '../client-rig.ts'

const folder = process.env['FRP_BIN']

/** Whether frp's own binaries are there; a suite that skips says so. */
export const HAS_STOCK = folder !== undefined && ['frps', 'frpc'].every((name) => existsSync(join(folder, name)))
if (!HAS_STOCK) console.warn('SKIPPED: interop with stock frp needs FRP_BIN, a folder with frps and frpc')

/** A stock program with this configuration (lines of TOML), until the test is over. */
export function startStock(cleanUp: CleanUp, program: 'frps' | 'frpc', config: readonly string[]): Lines {
  const place = mkdtempSync(join(tmpdir(), 'edgefrp-stock-'))
  const path = join(place, `${program}.toml`)
  writeFileSync(path, ['log.disablePrintColor = true', 'log.level = "trace"', ...config].join('\n'))
  const lines = new Lines()
  const child = spawn(join(folder ?? '', program), ['-c', path], { stdio: ['ignore', 'pipe', 'inherit'] })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const line of text.split('\n')) lines.add(`${line}\n`)
  })
  const over = new Promise((resolve) => child.once('close', resolve))
  cleanUp.add(async () => {
    child.kill('SIGKILL')
    await over
    rmSync(place, { recursive: true })
  })
  return lines
}
