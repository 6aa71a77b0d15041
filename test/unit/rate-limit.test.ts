import { describe, expect, it } from 'vitest'
import { RateLimit } from '../../contract/rate-limit.ts'

describe('a rate limit', () => {
  const takeAll = (limit: RateLimit, nowMs: number): number => {
    let taken = 0
    while (limit.take(nowMs)) taken += 1
    return taken
  }

  it('is a burst at once, then what the time earns, and never more than a burst', () => {
    const limit = new RateLimit({ perSecond: 10, burst: 3 }, 1_000)
    expect(takeAll(limit, 1_000)).toBe(3)
    expect(takeAll(limit, 1_099)).toBe(0)
    expect(limit.waitMs(1_099)).toBeCloseTo(1)
    expect(takeAll(limit, 1_100)).toBe(1)
    expect(takeAll(limit, 60_000)).toBe(3)
  })

  it('is taken whole or not at all', () => {
    const limit = new RateLimit({ perSecond: 100, burst: 100 }, 0)
    expect(limit.take(0, 60)).toBe(true)
    expect(limit.take(0, 60)).toBe(false)
    expect(limit.left(0)).toBe(40)
    expect(limit.waitMs(0, 60)).toBe(200)
    expect(limit.take(200, 60)).toBe(true)
  })

  it('loses nothing when the clock stands still or goes back', () => {
    const limit = new RateLimit({ perSecond: 1, burst: 2 }, 5_000)
    expect([limit.take(5_000), limit.left(4_000), limit.left(5_000)]).toEqual([true, 1, 1])
  })

  it('follows a rate that is replaced', () => {
    const limit = new RateLimit({ perSecond: 1, burst: 10 }, 0)
    limit.rate = { perSecond: 2, burst: 4 }
    expect(takeAll(limit, 0)).toBe(4)
    expect(takeAll(limit, 1_000)).toBe(2)
  })
})
