import { spawnSync } from 'node:child_process'

/** The first frp that speaks wire protocol v2, for datagrams too: 0.69.1. */
const FIRST = [0, 69, 1] as const

/** Whether this stock binary speaks wire protocol v2; false for one that is not there. */
export function hasV2(binary: string): boolean {
  const { stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' })
  const version = /^(\d+)\.(\d+)\.(\d+)/
    .exec(stdout ?? '')
    ?.slice(1)
    .map(Number) ?? [0]
  for (const [i, least] of FIRST.entries()) {
    const part = version[i] ?? 0
    if (part !== least) return part > least
  }
  return true
}
