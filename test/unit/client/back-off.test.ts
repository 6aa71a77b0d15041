import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BackOff, STABLE_SESSION_MS } from '../../../client/back-off.ts'

describe('BackOff', () => {
  it('draws each delay below a bound that doubles from 100 ms to 5 s', () => {
    const backOff = new BackOff(() => 0.999_999)
    const delays = Array.from({ length: 10 }, () => Math.round(backOff.afterFailure()))
    expect(delays).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000])
  })

  it('asks at least once a second where nobody listens: a relay that is started again is met soon', () => {
    const backOff = new BackOff(() => 0.999_999)
    const delays = Array.from({ length: 7 }, () => Math.round(backOff.afterFailure(true)))
    expect(delays).toEqual([100, 200, 400, 400, 400, 400, 400])
    expect(Math.round(backOff.afterFailure())).toBe(5_000)
  })

  it('never waits longer than 5 s nor tries again without a pause', () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fc.array(random, { maxLength: 100 }), (draws) => {
        let i = 0
        const backOff = new BackOff(() => draws[i++] ?? 0)
        for (const _ of draws) {
          const delay = backOff.afterFailure()
          expect(delay).toBeGreaterThanOrEqual(10)
          expect(delay).toBeLessThanOrEqual(5_000)
        }
      }),
    )
  })

  it('comes back at once after a session that lived', () => {
    const backOff = new BackOff(() => 0.999_999)
    for (let i = 0; i < 20; i++) backOff.afterFailure()
    expect(backOff.afterSession(STABLE_SESSION_MS)).toBe(0)
    expect(Math.round(backOff.afterFailure())).toBe(200)
  })

  it('slows down when sessions keep ending as soon as they begin', () => {
    const backOff = new BackOff(() => 0.999_999)
    const delays = Array.from({ length: 5 }, () => Math.round(backOff.afterSession(5)))
    expect(delays).toEqual([0, 200, 400, 800, 1_600])
  })
})
