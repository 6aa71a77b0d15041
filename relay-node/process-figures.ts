import { readdirSync } from 'node:fs'
import type { ProcessFigure } from '../relay/metrics.ts'

/** The figures of this process under the names that Prometheus' own libraries give them, as frps has them. */
export function processFigures(): ProcessFigure[] {
  const { user, system } = process.cpuUsage()
  const openFiles = countOpenFiles()
  return [
    {
      name: 'process_cpu_seconds_total',
      type: 'counter',
      help: 'Total user and system CPU time spent in seconds',
      value: (user + system) / 1e6,
    },
    {
      name: 'process_resident_memory_bytes',
      type: 'gauge',
      help: 'Resident memory size in bytes',
      value: process.memoryUsage.rss(),
    },
    {
      name: 'process_start_time_seconds',
      type: 'gauge',
      help: 'Start time of the process since unix epoch in seconds',
      value: Math.round(Date.now() / 1000 - process.uptime()),
    },
    ...(openFiles === undefined
      ? []
      : [
          {
            name: 'process_open_fds',
            type: 'gauge' as const,
            help: 'Number of open file descriptors',
            value: openFiles,
          },
        ]),
  ]
}

function countOpenFiles(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return undefined // not Linux
  }
}
