import { LogFile } from '../node/log-file.ts'
import type { AccessLog } from '../relay/access-log.ts'

/** Where visits of users are written, one JSON object a line. */
export interface AccessFile {
  log: AccessLog
  close(): Promise<void>
}

/** Opens `edgefrp.accessLog`; undefined: there is none. A file is kept as the log is: rotated by day, mode 0600. */
export function openAccessLog({ to, maxDays }: { to: string; maxDays: number }): AccessFile | undefined {
  if (to === '') return undefined
  if (to === 'console') {
    return {
      log: (entry) => void process.stdout.write(`${JSON.stringify(entry)}\n`),
      close: () => Promise.resolve(),
    }
  }
  const file = new LogFile(to, maxDays)
  // JSON escapes what could end a line.
  return { log: (entry) => file.write(`${JSON.stringify(entry)}\n`), close: () => file.close() }
}
