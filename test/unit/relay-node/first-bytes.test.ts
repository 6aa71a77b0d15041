import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Prefix } from '../../../relay-node/first-bytes.ts'

const expected = new TextEncoder().encode('PRI * HTTP/2.0')

/** What came out, and whether it was told that the expected bytes are there. */
function fed(bytes: Uint8Array, cuts: readonly number[]): { given: number[]; isThere: boolean } {
  const prefix = new Prefix(expected)
  const given: number[] = []
  const ends = [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  let start = 0
  for (const end of ends) {
    const answer = prefix.feed(bytes.subarray(start, end))
    if (answer === true) return { given, isThere: true }
    given.push(...(answer ?? []))
    start = end
  }
  return { given, isThere: false }
}

describe('the first bytes of a connection', () => {
  const cuts = fc.array(fc.nat(64), { maxLength: 6 })

  it('are found however they are cut, whatever follows', () => {
    fc.assert(
      fc.property(cuts, fc.uint8Array({ maxLength: 20, size: 'max' }), (at, rest) => {
        expect(fed(Uint8Array.of(...expected, ...rest), at)).toEqual({ given: [], isThere: true })
      }),
    )
  })

  it('are all given on when they turn out to be others', () => {
    fc.assert(
      fc.property(
        cuts,
        fc.nat(expected.length - 1),
        fc.uint8Array({ maxLength: 20, size: 'max' }),
        (at, same, rest) => {
          const bytes = Uint8Array.of(...expected.subarray(0, same), 0, ...rest)
          expect(fed(bytes, at)).toEqual({ given: [...bytes], isThere: false })
        },
      ),
    )
  })
})
