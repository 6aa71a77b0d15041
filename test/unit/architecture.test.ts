import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { parseSync } from 'oxc-parser'
import { describe, expect, it } from 'vitest'
import { ARCHITECTURE, type RoomRule } from './architecture-table.ts'

const ROOT = join(import.meta.dirname, '../..')
/** Fewer mean that the test looked at the wrong place, and would be green for ever. */
const LEAST_EDGES = 50
const NOT_CODE = new Set(['node_modules', 'dist', 'docs', 'examples', 'coverage'])

interface Import {
  from: string
  /** A path from the root, or the name of a package. */
  to: string
  isPackage: boolean
  isType: boolean
}

describe('the architecture', () => {
  const files = codeFiles()
  const imports = files.flatMap((file) => importsOf(file, readFileSync(join(ROOT, file), 'utf8')))

  it('has a room for every file', () => {
    expect(files.filter((file) => roomOf(file) === undefined && file.includes('/'))).toEqual([])
  })

  it('is kept by every import', () => {
    expect(imports.flatMap((one) => faultOf(one) ?? [])).toEqual([])
    expect(imports.filter((one) => isBorder(one)).length).toBeGreaterThanOrEqual(LEAST_EDGES)
  })

  it('has files that all exist', () => {
    const known = new Set(files)
    // What tests write as text or generate is theirs.
    const missing = imports.filter(({ to, isPackage }) => !isPackage && to.endsWith('.ts') && !known.has(to))
    expect(missing.filter(({ to }) => !to.includes('/fixtures/'))).toEqual([])
  })

  it('has no circle of files', () => {
    expect(circleOf(imports.filter(({ isType, isPackage }) => !isType && !isPackage))).toEqual([])
  })

  it('has no circle of rooms', () => {
    expect(
      circleOf(Object.entries(ARCHITECTURE).flatMap(([from, rule]) => roomsOf(rule).map((to) => ({ from, to })))),
    ).toEqual([])
  })
})

describe('its test', () => {
  const fault = (from: string, line: string) => importsOf(from, line).map((one) => faultOf(one))

  it('reads every way to import', () => {
    const text = `import { a } from '../a.ts'
      import type { B } from '../b.ts'
      import { type C } from '../c.ts'
      import * as d from '../d.ts'
      import '../e.ts'
      export { f } from '../f.ts'
      export * from '../g.ts'
      const h = await import('../h.ts')
      const i: typeof import('../i.ts') = h
      // import { z } from '../z.ts'
      const text = "import { y } from '../y.ts'"`
    const read = importsOf('relay/x.ts', text).map(({ to, isType }) => (isType ? `type ${to}` : to))
    expect(read).toEqual(['a.ts', 'type b.ts', 'type c.ts', 'd.ts', 'e.ts', 'f.ts', 'g.ts', 'h.ts', 'type i.ts'])
  })

  it('finds what is not in the table', () => {
    expect(fault('contract/errors.ts', "import { x } from '../protocol/limits.ts'")).toEqual([
      expect.stringContaining('contract may not'),
    ])
    expect(fault('protocol/yamux/a.ts', "import { x } from '../frp/b.ts'")).toEqual([
      expect.stringContaining('protocol/frp'),
    ])
    expect(fault('relay/proxies/a.ts', "export * from '../../node/b.ts'")).toEqual([
      expect.stringContaining('relay may not'),
    ])
    expect(fault('relay/a.ts', "import { Hono } from 'hono'")).toEqual([expect.stringContaining('hono')])
    expect(fault('client/a.ts', "await import('../relay-node/b.ts')")).toEqual([expect.stringContaining('relay-node')])
    expect(fault('worker/hub.ts', "import { createHash } from 'node:crypto'")).toEqual([
      expect.stringContaining('worker/crypto.ts'),
    ])
    expect(fault('relay/a.ts', "import { load } from '../config/load.ts'")).toEqual([
      expect.stringContaining('only types'),
    ])
    expect(fault('util/a.ts', "import { x } from '../contract/errors.ts'")).toEqual([
      expect.stringContaining('no room'),
    ])
  })

  it('allows what is', () => {
    expect(fault('relay/a.ts', "import type { Frps } from '../config/frps.ts'")).toEqual([undefined])
    expect(fault('relay/api/app.ts', "import { Hono } from 'hono/tiny'")).toEqual([undefined])
    expect(fault('worker/crypto.ts', "import { createHash } from 'node:crypto'")).toEqual([undefined])
  })

  it('finds circles', () => {
    const edge = (from: string, to: string) => ({ from, to })
    expect(circleOf([edge('a', 'b'), edge('b', 'c'), edge('c', 'a'), edge('x', 'a')])).toEqual(['a', 'b', 'c', 'a'])
    expect(circleOf([edge('a', 'b'), edge('a', 'c'), edge('b', 'd'), edge('c', 'd')])).toEqual([])
  })
})

function codeFiles(folder = ''): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    if (entry.name.startsWith('.') || NOT_CODE.has(path) || path === 'test/fixtures') return []
    if (entry.isDirectory()) return codeFiles(path)
    return entry.name.endsWith('.ts') ? [path] : []
  })
}

function importsOf(file: string, text: string): Import[] {
  const { module, program, errors } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const found: { specifier: string; start: number; isType: boolean }[] = []
  for (const one of module.staticImports) {
    const isType = one.entries.length > 0 && one.entries.every((entry) => entry.isType)
    found.push({ specifier: one.moduleRequest.value, start: one.start, isType })
  }
  for (const { entries } of module.staticExports) {
    const [first] = entries
    if (first?.moduleRequest) {
      found.push({
        specifier: first.moduleRequest.value,
        start: first.start,
        isType: entries.every((entry) => entry.isType),
      })
    }
  }
  for (const { moduleRequest } of module.dynamicImports) {
    const specifier = /^['"`](.*)['"`]$/.exec(text.slice(moduleRequest.start, moduleRequest.end))?.[1]
    if (specifier !== undefined) found.push({ specifier, start: moduleRequest.start, isType: false })
  }
  eachNode(program, (node) => {
    if (node['type'] !== 'TSImportType') return
    const source = node['source'] as { value: string; start: number }
    found.push({ specifier: source.value, start: source.start, isType: true })
  })
  return found
    .sort((a, b) => a.start - b.start)
    .map(({ specifier, isType }) => {
      const isPackage = !specifier.startsWith('.')
      return { from: file, to: isPackage ? specifier : posix.join(dirname(file), specifier), isPackage, isType }
    })
}

function eachNode(value: unknown, visit: (node: Record<string, unknown>) => void): void {
  if (Array.isArray(value)) for (const one of value) eachNode(one, visit)
  else if (typeof value === 'object' && value !== null) {
    visit(value as Record<string, unknown>)
    for (const one of Object.values(value)) eachNode(one, visit)
  }
}

function roomOf(path: string): string | undefined {
  const folders = dirname(path).split('/')
  for (let depth = folders.length; depth > 0; depth--) {
    const room = folders.slice(0, depth).join('/')
    if (room in ARCHITECTURE) return room
  }
  return undefined
}

/** Configurations and the like in the root may import what they need, and nobody imports them. */
function isOfRoot(path: string): boolean {
  return !path.includes('/')
}

function isBorder({ from, to, isPackage }: Import): boolean {
  return !isPackage && roomOf(from) !== roomOf(to)
}

function faultOf(one: Import): string | undefined {
  if (isOfRoot(one.from)) return undefined
  const room = roomOf(one.from)
  if (room === undefined) return `${one.from}: lies in no room of the table`
  const rule = ARCHITECTURE[room] as RoomRule
  if (one.isPackage) return packageFault(one, room, rule)
  const target = roomOf(one.to)
  if (target === room || rule.rooms.includes('*')) return undefined
  if (target !== undefined && rule.rooms.includes(target)) return undefined
  if (target !== undefined && rule.typesOf?.includes(target)) {
    return one.isType ? undefined : `${one.from}: ${room} may import only types from ${target} (${one.to})`
  }
  return `${one.from}: ${room} may not import ${target ?? 'what is in no room'} (${one.to})`
}

function packageFault({ from, to }: Import, room: string, rule: RoomRule): string | undefined {
  if (room === 'worker' && to.startsWith('node:') && from !== 'worker/crypto.ts') {
    return `${from}: only worker/crypto.ts may import ${to}`
  }
  const isAllowed = rule.packages.some((name) => {
    if (name === '*' || name === to) return true
    return name.endsWith('*') ? to.startsWith(name.slice(0, -1)) : to.startsWith(`${name}/`)
  })
  return isAllowed ? undefined : `${from}: ${room} may not import ${to}`
}

function roomsOf(rule: RoomRule): string[] {
  return [...rule.rooms, ...(rule.typesOf ?? [])].filter((room) => room !== '*')
}

/** The names on the first circle found, the first one again at the end; empty when there is none. */
function circleOf(edges: readonly { from: string; to: string }[]): string[] {
  const next = new Map<string, string[]>()
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to])
  const done = new Set<string>()
  const path: string[] = []
  const walk = (name: string): string[] => {
    const at = path.indexOf(name)
    if (at >= 0) return [...path.slice(at), name]
    if (done.has(name)) return []
    path.push(name)
    for (const to of next.get(name) ?? []) {
      const circle = walk(to)
      if (circle.length > 0) return circle
    }
    path.pop()
    done.add(name)
    return []
  }
  for (const name of next.keys()) {
    const circle = walk(name)
    if (circle.length > 0) return circle
  }
  return []
}
