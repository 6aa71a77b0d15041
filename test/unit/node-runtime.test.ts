import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Deadlines } from '../../contract/deadlines.ts'
import type { Deadline } from '../../contract/runtime.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'

/** A clock that stands still until told; counts how often the one timer was set. */
class HandClock {
  nowMs = 0
  armed = 0
  private timer: { atMs: number; run: () => void } | undefined

  monotonicMs(): number {
    return this.nowMs
  }

  arm(delayMs: number, run: () => void): () => void {
    if (this.timer !== undefined) throw new Error('two timers at once')
    this.armed += 1
    const timer = { atMs: this.nowMs + delayMs, run }
    this.timer = timer
    return () => {
      if (this.timer === timer) this.timer = undefined
    }
  }

  get isArmed(): boolean {
    return this.timer !== undefined
  }

  advanceTo(atMs: number): void {
    for (let timer = this.timer; timer !== undefined && timer.atMs <= atMs; timer = this.timer) {
      this.nowMs = Math.max(this.nowMs, timer.atMs)
      this.timer = undefined
      timer.run()
    }
    this.nowMs = atMs
  }
}

describe('Deadlines', () => {
  it('runs each in the order of its time, equal ones in the order they were set', () => {
    const clock = new HandClock()
    const deadlines = new Deadlines(clock)
    const ran: string[] = []
    deadlines.after(30, () => ran.push('c'))
    deadlines.after(10, () => ran.push('a'))
    deadlines.after(20, () => ran.push('b1'))
    deadlines.after(20, () => ran.push('b2'))
    clock.advanceTo(20)
    expect(ran).toEqual(['a', 'b1', 'b2'])
    clock.advanceTo(30)
    expect(ran).toEqual(['a', 'b1', 'b2', 'c'])
  })

  it('keeps no timer when none is open, and cancelling twice or late is harmless', () => {
    const clock = new HandClock()
    const deadlines = new Deadlines(clock)
    const ran: string[] = []
    const first = deadlines.after(10, () => ran.push('first'))
    const second = deadlines.after(10, () => ran.push('second'))
    first.cancel()
    first.cancel()
    clock.advanceTo(10)
    second.cancel()
    expect(ran).toEqual(['second'])
    expect(clock.isArmed).toBe(false)
    deadlines.after(10, () => ran.push('third')).cancel()
    expect(clock.isArmed).toBe(false)
    expect(deadlines.size).toBe(0)
  })

  it('sets the timer once for a thousand deadlines that are later than the first', () => {
    const clock = new HandClock()
    const deadlines = new Deadlines(clock)
    deadlines.after(1, () => undefined)
    for (let i = 0; i < 1_000; i++) deadlines.after(10_000 + i, () => undefined).cancel()
    expect(clock.armed).toBe(1)
  })

  it('leaves the others alive when one throws', () => {
    const clock = new HandClock()
    const deadlines = new Deadlines(clock)
    const ran: string[] = []
    deadlines.after(10, () => {
      throw new Error('boom')
    })
    deadlines.after(10, () => ran.push('other'))
    expect(() => clock.advanceTo(10)).toThrow('boom')
    clock.advanceTo(11)
    expect(ran).toEqual(['other'])
  })

  it('gives other events a turn between a deadline of 0 and the one it sets again', () => {
    const clock = new HandClock()
    const deadlines = new Deadlines(clock)
    let ran = 0
    const again = (): void => {
      ran += 1
      deadlines.after(0, again)
    }
    deadlines.after(0, again)
    clock.advanceTo(3)
    expect(ran).toBe(3)
  })

  it('waits for what is due later than a timer can be set', () => {
    const clock = new HandClock()
    const deadlines = new Deadlines(clock)
    const yearMs = 365 * 86_400_000
    let ran = 0
    deadlines.after(yearMs, () => ran++)
    clock.advanceTo(yearMs - 1)
    expect(ran).toBe(0)
    clock.advanceTo(yearMs)
    expect(ran).toBe(1)
  })

  it('does what a list that is sorted each time does', () => {
    const step = fc.oneof(
      fc.record({ add: fc.integer({ min: 0, max: 50 }) }),
      fc.record({ cancel: fc.nat(40) }),
      fc.record({ advance: fc.integer({ min: 1, max: 20 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120, size: 'max' }), (steps) => {
        const clock = new HandClock()
        const deadlines = new Deadlines(clock)
        const naive: { id: number; dueMs: number }[] = []
        const handles: Deadline[] = []
        const ran: number[] = []
        const expected: number[] = []
        for (const one of steps) {
          if ('add' in one) {
            const id = handles.length
            // A timer of 0 ms is one of 1 ms in Node, so that is the least here.
            naive.push({ id, dueMs: clock.nowMs + Math.max(1, one.add) })
            handles.push(deadlines.after(Math.max(1, one.add), () => ran.push(id)))
          } else if ('cancel' in one) {
            handles[one.cancel]?.cancel()
            const index = naive.findIndex(({ id }) => id === one.cancel)
            if (index >= 0) naive.splice(index, 1)
          } else {
            const untilMs = clock.nowMs + one.advance
            naive.sort((a, b) => a.dueMs - b.dueMs || a.id - b.id)
            while (naive[0] !== undefined && naive[0].dueMs <= untilMs) expected.push(naive.shift()?.id ?? -1)
            clock.advanceTo(untilMs)
          }
          expect(ran).toEqual(expected)
          expect(deadlines.size).toBe(naive.length)
        }
      }),
    )
  })
})

describe('nodeRuntime', () => {
  const quiet = createLineLog({ write: () => undefined, close: () => Promise.resolve() }, 'error', false)

  it('runs a deadline no earlier than asked', async () => {
    const runtime = nodeRuntime(quiet)
    // The runtime's timer holds nothing up, and neither may this test depend on vitest doing so.
    const startedMs = runtime.monotonicMs()
    await new Promise<void>((resolve) => runtime.after(20, resolve))
    expect(runtime.monotonicMs() - startedMs).toBeGreaterThanOrEqual(20)
  })

  it('does not keep a process up by a deadline alone', () => {
    const program = `import { nodeRuntime } from './node/runtime.ts'
      nodeRuntime().after(60_000, () => undefined)`
    const run = spawnSync(
      process.execPath,
      ['--experimental-strip-types', '--input-type=module-typescript', '-e', program],
      {
        timeout: 20_000,
        encoding: 'utf8',
      },
    )
    expect({ status: run.status, signal: run.signal }, run.stderr).toEqual({ status: 0, signal: null })
  })
})
