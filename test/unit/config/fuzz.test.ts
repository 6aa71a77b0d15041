import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadFrpc, loadFrps } from '../../../config/load.ts'
import { codeOf } from '../../../contract/errors.ts'
import { fixture, source } from './loading.ts'

/** Far above what any input here takes, far below a hang. */
const MAX_MS = 1_000

/** Pieces that the parsers here give a meaning to. */
const PIECES = [
  ...[
    '[common]\n',
    '[[proxies]]\n',
    '[proxies.plugin]\n',
    '[range:a]\n',
    '[a]',
    '"""',
    "'''",
    '`',
    '"',
    "'",
    '\\',
    '\n',
  ],
  ...[
    '{{',
    '}}',
    '{{- ',
    ' -}}',
    '{{ range ',
    '{{ end }}',
    '{{ if ',
    '$x',
    ':=',
    '.Envs',
    '.A',
    'parseNumberRange "1-9"',
  ],
  ...['name', 'type', 'tcp', 'http', 'auth.token', 'bindPort', 'edgefrp', 'fallbackServers', '__proto__', 'local_port'],
  ...[
    ' = ',
    ': ',
    ',',
    '[',
    ']',
    '{',
    '}',
    '- ',
    '&a',
    '*a',
    '<<',
    '|',
    '#',
    ';',
    '0',
    '70000',
    '1.5',
    'true',
    '1-9',
    ' ',
  ],
]
const text = fc.oneof(
  fc.string({ maxLength: 200, size: 'max' }),
  fc.array(fc.constantFrom(...PIECES), { maxLength: 60, size: 'max' }).map((pieces) => pieces.join('')),
)
const name = fc.constantFrom('x', 'x.toml', 'x.yaml', 'x.json', 'x.ini')

/** Runs both loaders; what they throw must be ours. */
function loadBoth(input: string, fileName: string): number {
  const start = performance.now()
  for (const load of [loadFrps, loadFrpc]) {
    try {
      load(source(input, fileName, { envs: { A: input.slice(0, 5) }, readInclude: () => [] }))
    } catch (error) {
      if (codeOf(error) === undefined) throw error
    }
  }
  return performance.now() - start
}

describe('arbitrary text', () => {
  it('throws nothing but FrpError and ends quickly', () => {
    const check = (input: string, fileName: string): void => {
      expect(loadBoth(input, fileName)).toBeLessThan(MAX_MS)
    }
    fc.assert(fc.property(text, name, check), { numRuns: 2_000 })
    expect('x' in {}).toBe(false)
  })

  it('that was a sound file before some bytes changed is no worse', () => {
    const files = [fixture('frps.ini').text, fixture('frpc.ini').text, fixture('frps.toml').text]
    const change = fc.record({ at: fc.nat(2_000), piece: fc.constantFrom(...PIECES), length: fc.nat(3) })
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.array(change, { minLength: 1, maxLength: 8 }),
        name,
        (file, changes, fileName) => {
          let input = file
          for (const { at, piece, length } of changes) {
            const start = at % (input.length + 1)
            input = input.slice(0, start) + piece + input.slice(start + length)
          }
          expect(loadBoth(input, fileName)).toBeLessThan(MAX_MS)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it.each([
    ['[', 50_000],
    ['{', 50_000],
    ['\n', 200_000],
    ['[[a]]\n', 20_000],
    ['a: {', 5_000],
    ['{{', 50_000],
    ['{{ 1 }}', 20_000],
    ['"', 20_000],
    ['- ', 20_000],
    ['x = \\\n', 20_000],
    ['[common]\n\n', 20_000],
    ['[common]\na = "', 20_000],
  ])('of %j times %i ends too', (piece, times) => {
    expect(loadBoth(piece.repeat(times), 'x')).toBeLessThan(10 * MAX_MS)
  })
})
