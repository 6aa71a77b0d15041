import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/**
 * A fence that cannot turn red is none. `test/fixtures/fences` is a small house with the rooms of the real one:
 * a file whose first line is `// fence: RULE` breaks that rule, every other file breaks none.
 */
const ROOT = join(import.meta.dirname, '../..')
const FIXTURES = join(ROOT, 'test/fixtures/fences')
const MARK = /^\/\/ fence: (\S+)\n/

interface Diagnostic {
  category: string
  severity: string
  location: { path: string | { file: string } }
}

const files = readdirSync(FIXTURES, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
const fenceOf = new Map(files.map((name) => [name, MARK.exec(readFileSync(join(FIXTURES, name), 'utf8'))?.[1]]))

describe('the linter', () => {
  let house = ''
  const found = new Map<string, Set<string>>()

  beforeAll(() => {
    house = mkdtempSync(join(tmpdir(), 'edgefrp-fences-'))
    // Not in place: there the rooms' patterns would have to match twice, and the lint of the project skips them.
    cpSync(FIXTURES, house, { recursive: true })
    cpSync(join(ROOT, 'biome.json'), join(house, 'biome.json'))
    const biome = join(ROOT, 'node_modules/@biomejs/biome/bin/biome')
    const run = spawnSync(
      process.execPath,
      [biome, 'lint', '--vcs-enabled=false', '--reporter=json', '--max-diagnostics=none', '.'],
      { cwd: house, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
    )
    const report = JSON.parse(run.stdout) as { diagnostics: Diagnostic[] }
    for (const { category, location } of report.diagnostics) {
      const path = typeof location.path === 'string' ? location.path : location.path.file
      const name = path.replace(/^\.\//, '')
      found.set(name, (found.get(name) ?? new Set()).add(category))
    }
  }, 60_000)
  afterAll(() => rmSync(house, { recursive: true, force: true }))

  it.each([...fenceOf].filter(([, rule]) => rule !== undefined))('sees the planted fault of %s: %s', (name, rule) => {
    expect([...(found.get(name) ?? [])]).toContain(rule)
  })

  it('finds nothing in the files without a fault', () => {
    const clean = files.filter((name) => fenceOf.get(name) === undefined)
    expect(clean.length).toBeGreaterThanOrEqual(15)
    expect(clean.filter((name) => found.has(name)).map((name) => [name, [...(found.get(name) ?? [])]])).toEqual([])
  })

  it('has a planted fault for every rule that the project adds to the recommended ones', () => {
    const planted = new Set([...fenceOf.values()].map((rule) => rule?.split('/').pop()))
    const text = readFileSync(join(ROOT, 'biome.json'), 'utf8')
    const named = new Set([...text.matchAll(/"((?:no|use)[A-Z]\w+)": (?!"off")/g)].map((match) => match[1] ?? ''))
    const noRule = new Set(['useIgnoreFile'])
    expect([...named].filter((rule) => !planted.has(rule) && !noRule.has(rule))).toEqual([])
  })
})
