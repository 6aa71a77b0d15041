import { describe, expect, it } from 'vitest'
import type { Runtime } from '../../../contract/runtime.ts'
import { FLAG_ACK, FLAG_SYN, header, TYPE_PING } from '../../../protocol/yamux/frame.ts'
import { KeepAlive } from '../../../protocol/yamux/keep-alive.ts'
import { Side } from './harness.ts'

/** A clock that the test moves. */
class Clock {
  nowMs = 0
  deadlines: { atMs: number; run: () => void }[] = []

  runtime(): Runtime {
    const after = (delayMs: number, run: () => void) => {
      const deadline = { atMs: this.nowMs + delayMs, run }
      this.deadlines.push(deadline)
      return {
        cancel: () => {
          this.deadlines = this.deadlines.filter((other) => other !== deadline)
        },
      }
    }
    // Keep-alive needs a deadline and nothing else of a runtime.
    return { after } as unknown as Runtime
  }

  advance(ms: number): void {
    this.nowMs += ms
    const due = this.deadlines.filter((deadline) => deadline.atMs <= this.nowMs)
    this.deadlines = this.deadlines.filter((deadline) => deadline.atMs > this.nowMs)
    for (const deadline of due) deadline.run()
  }
}

function start(intervalMs = 30_000) {
  const clock = new Clock()
  const dead: string[] = []
  let keepAlive: KeepAlive | undefined
  const side = new Side({ onPong: (id) => keepAlive?.pong(id) })
  keepAlive = new KeepAlive(side.session, clock.runtime(), { intervalMs, timeoutMs: 10_000 }, (error) =>
    dead.push(error.code),
  )
  return { clock, dead, side, keepAlive }
}

describe('keep-alive', () => {
  it('pings after each interval while answers come', () => {
    const { clock, dead, side } = start()
    for (let i = 0; i < 3; i++) {
      clock.advance(29_999)
      expect(side.frames()).toEqual([])
      clock.advance(1)
      expect(side.frames().map((frame) => [frame.type, frame.flags, frame.length])).toEqual([[TYPE_PING, FLAG_SYN, i]])
      clock.advance(9_999)
      side.feed(header(TYPE_PING, FLAG_ACK, 0, i))
    }
    expect(dead).toEqual([])
  })

  it('says once that the peer is dead', () => {
    const { clock, dead, side } = start()
    clock.advance(30_000)
    side.feed(header(TYPE_PING, FLAG_ACK, 0, 99))
    clock.advance(10_000)
    expect(dead).toEqual(['YAMUX_KEEPALIVE'])
    clock.advance(100_000)
    expect(dead.length).toBe(1)
  })

  it.each([0, -30_000])('does not ping at an interval of %i ms, and can be stopped', (intervalMs) => {
    const { clock, dead, side, keepAlive } = start(intervalMs)
    clock.advance(100_000)
    expect(side.frames()).toEqual([])
    keepAlive.pong(0)
    keepAlive.stop()
    expect([dead, clock.deadlines]).toEqual([[], []])
  })

  it('leaves no deadline open when stopped, or when the session is over', () => {
    const stopped = start()
    stopped.keepAlive.stop()
    expect(stopped.clock.deadlines).toEqual([])
    const over = start()
    over.side.session.close()
    over.clock.advance(30_000)
    expect(over.clock.deadlines).toEqual([])
    expect(over.dead).toEqual([])
  })
})
