import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLineLog, createLog, escapeControls } from '../../node/log.ts'
import { LogFile } from '../../node/log-file.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-log-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function collected(level: Parameters<typeof createLineLog>[1], isColoured = false) {
  const lines: string[] = []
  const log = createLineLog(
    { write: (line) => void lines.push(line), close: () => Promise.resolve() },
    level,
    isColoured,
  )
  return { log, lines }
}

describe('a line', () => {
  it('has frp’s form: local time with milliseconds, level, prefixes, message', () => {
    const { log, lines } = collected('trace')
    log.child('run-1').child('web').info('start proxy success')
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \[I\] \[run-1\] \[web\] start proxy success\n$/)
    for (const level of ['trace', 'debug', 'info', 'warn', 'error'] as const) log[level]('x')
    expect(lines.slice(1).map((line) => line.slice(24, 27))).toEqual(['[T]', '[D]', '[I]', '[W]', '[E]'])
  })

  it('is left out below the level, and enabled() says so', () => {
    const { log, lines } = collected('warn')
    log.info('no')
    log.child('p').debug('no')
    log.warn('yes')
    expect(lines.length).toBe(1)
    expect([log.enabled('info'), log.enabled('warn'), log.enabled('error')]).toEqual([false, true, true])
  })

  it('is coloured as frp colours it, its end included', () => {
    const { log, lines } = collected('trace', true)
    log.info('blue')
    log.error('red')
    log.trace('none')
    const without = (line = '') => line.replaceAll('\u001b', 'ESC')
    expect(without(lines[0])).toMatch(/^ESC\[1;34m.*blue\nESC\[0m$/)
    expect(without(lines[1])).toMatch(/^ESC\[1;31m.*red\nESC\[0m$/)
    expect(lines[2]).toMatch(/^\d.*none\n$/)
  })

  it('stays one line without control characters, whatever a stranger put into message or prefix', () => {
    const { log, lines } = collected('trace')
    const nasty = 'a\nb\r\u001b[31m\u009b31m\u0000\u007f\u2028\u2029\tz'
    log.child(nasty).warn(nasty)
    expect(lines.length).toBe(1)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
    expect(lines[0]?.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
    expect(escapeControls(nasty)).toBe('a\\nb\\r\\u001b[31m\\u009b31m\\u0000\\u007f\\u2028\\u2029\\tz')
    expect(escapeControls('grüße, 世界 [x] \\n')).toBe('grüße, 世界 [x] \\n')
  })
})

describe('a log file', () => {
  it('is made with its folders, for its owner alone, and appended to', async () => {
    const path = join(folder, 'deep', 'frps.log')
    for (const message of ['one', 'two']) {
      const log = createLog({ to: path })
      log.info(message)
      await log.close()
    }
    expect(readFileSync(path, 'utf8')).toMatch(/one\n.*two\n$/)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is renamed at midnight, and what is older than maxDays goes, nothing else', async () => {
    const path = join(folder, 'frps.log')
    const clock = { nowMs: () => new Date(2026, 2, 9, 23, 59, 59).getTime(), monotonicMs: () => 0 }
    for (const name of [
      'frps.20260306-000000.log',
      'frps.20260308-000000.log',
      'frps.notes.log',
      'other.20200101-000000.log',
    ]) {
      writeFileSync(join(folder, name), '')
    }
    const file = new LogFile(path, 3, clock)
    file.write('monday\n')
    await until(() => existsSync(path) && statSync(path).size > 0)
    clock.nowMs = () => new Date(2026, 2, 10, 0, 0, 5).getTime()
    file.write('tuesday\n')
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('tuesday\n')
    expect(readFileSync(join(folder, 'frps.20260310-000000.log'), 'utf8')).toBe('monday\n')
    expect(readdirSync(folder).sort()).toEqual([
      'frps.20260308-000000.log',
      'frps.20260310-000000.log',
      'frps.log',
      'frps.notes.log',
      'other.20200101-000000.log',
    ])
  })

  it('of an earlier day is renamed at the start', async () => {
    const path = join(folder, 'frpc')
    writeFileSync(path, 'old\n')
    const yesterday = new Date(Date.now() - 86_400_000)
    utimesSync(path, yesterday, yesterday)
    const log = createLog({ to: path })
    log.info('new')
    await log.close()
    expect(readFileSync(path, 'utf8')).not.toContain('old')
    const backups = readdirSync(folder).filter((name) => /^frpc\.\d{8}-\d{6}$/.test(name))
    expect(backups.length).toBe(1)
  })

  it('keeps the order of lines and writes each once', async () => {
    const path = join(folder, 'many.log')
    const log = createLog({ to: path })
    for (let i = 0; i < 3_000; i++) {
      log.info(`n=${i}`)
      if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await log.close()
    const seen = [...readFileSync(path, 'utf8').matchAll(/n=(\d+)/g)].map((match) => Number(match[1]))
    expect(seen).toEqual(Array.from({ length: 3_000 }, (_, i) => i))
  })

  it('on a full disk counts what is lost and asks again only after ten seconds', async () => {
    const clock = { now: 0, nowMs: () => Date.now(), monotonicMs: () => clock.now }
    const file = new LogFile('/dev/full', 0, clock)
    file.write('a\n')
    file.write('b\n')
    await until(() => file.lost === 2)
    file.write('c\n')
    expect(file.lost).toBe(3)
    clock.now = 10_000
    file.write('d\n')
    // The new try took the count along as a notice; it fails again and none of it is forgotten.
    await until(() => file.lost === 4)
    await file.close()
  })

  it('goes on when its folder can be written again, and says how much was lost', async () => {
    const blocked = join(folder, 'blocked')
    writeFileSync(blocked, 'a file where a folder is needed')
    const clock = { now: 0, nowMs: () => Date.now(), monotonicMs: () => clock.now }
    const file = new LogFile(join(blocked, 'frps.log'), 0, clock)
    file.write('a\n')
    await until(() => file.lost === 1)
    rmSync(blocked)
    mkdirSync(blocked)
    clock.now = 10_000
    file.write('b\n')
    await file.close()
    expect(readFileSync(join(blocked, 'frps.log'), 'utf8')).toMatch(/^\(1 lines of this log were lost: .*\)\nb\n$/)
  })

  it('has its last lines when the process ends in the same turn', () => {
    const path = join(folder, 'last.log')
    const program = `import { createLog } from './node/log.ts'
      createLog({ to: ${JSON.stringify(path)} }).error('the last words')
      process.exit(3)`
    const run = spawnSync(
      process.execPath,
      ['--experimental-strip-types', '--input-type=module-typescript', '-e', program],
      {
        timeout: 20_000,
        encoding: 'utf8',
      },
    )
    expect(run.status, run.stderr).toBe(3)
    expect(readFileSync(path, 'utf8')).toContain('[E] the last words\n')
  })

  it('never bothers the caller, also when the file cannot be opened', async () => {
    chmodSync(folder, 0o500)
    const log = createLog({ to: join(folder, '\0', 'x.log') })
    for (let i = 0; i < 100; i++) log.error('lost')
    await log.close()
    chmodSync(folder, 0o700)
  })
})

/** Gives the file system its turns until `isTrue`; the suite's own time limit ends a wait in vain. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve))
}
