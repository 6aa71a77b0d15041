import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ERROR_CODES } from '../../contract/errors.ts'
import { ARCHITECTURE } from './architecture-table.ts'

const root = join(import.meta.dirname, '..', '..')
const page = (name: string) => readFileSync(join(root, 'docs', name), 'utf8')
/** Cells of the table rows of a page, without the head. */
const rows = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()))

describe('docs/errors.md', () => {
  it('has a row for each code, with the meaning that the code itself has', () => {
    const documented = Object.fromEntries(
      rows(page('errors.md')).map(([code = '', meaning]) => [code.slice(1, -1), meaning]),
    )
    expect(documented).toEqual({ ...ERROR_CODES })
  })
})

describe('docs/architecture.md', () => {
  it('prints the table of rooms that the architecture test holds the code against', () => {
    const printed = Object.fromEntries(
      rows(page('architecture.md')).map(([room = '', may]) => [room.slice(1, -1), may]),
    )
    const wanted = Object.fromEntries(
      Object.entries(ARCHITECTURE).map(([room, { rooms, typesOf = [], packages }]) => {
        const parts = [...rooms, ...typesOf.map((name) => `${name} (types)`), ...packages]
        return [room, parts.length === 0 ? 'nothing' : parts.join(', ')]
      }),
    )
    expect(printed).toEqual(wanted)
  })
})

describe('docs/compatibility.md', () => {
  const features = page('compatibility.md')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (feature|-)/.test(line))
    .map((line) => line.split('|').slice(1, -1))
    .map(([name = '', vm = '', edge = '', shownBy = '']) => ({
      name: name.trim(),
      places: [vm.trim(), edge.trim()],
      tests: [...shownBy.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path),
    }))

  it('names tests that exist', () => {
    expect(features.length).toBeGreaterThan(40)
    const missing = features.flatMap(({ tests }) => tests).filter((path) => !existsSync(join(root, path)))
    expect(missing).toEqual([])
  })

  it('shows whatever is there, and nothing that is not', () => {
    for (const { name, places, tests } of features) {
      const isThere = places.some((text) => !/^(no\b|not yet|–)/.test(text) && !text.startsWith('the platform'))
      expect([name, tests.length > 0]).toEqual([name, isThere])
    }
  })
})
