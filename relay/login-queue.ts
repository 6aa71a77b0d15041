import type { Deadline, Runtime } from '../contract/runtime.ts'

interface Waiting {
  isWanted: () => boolean
  run: () => void
}

/** Lets logins in at a rate; what comes faster waits in line. A storm of reconnects then stays a queue. */
export class LoginQueue {
  private readonly runtime: Runtime
  /** Logins a second; a reload changes it. */
  perSecond: number
  private readonly line: Waiting[] = []
  /** Logins that may enter now: at most one second's worth. */
  private places: number
  private countedMs: number
  private next: Deadline | undefined

  constructor(runtime: Runtime, perSecond: number) {
    this.runtime = runtime
    this.perSecond = perSecond
    this.places = perSecond
    this.countedMs = runtime.monotonicMs()
  }

  /** Calls `run` now, or when its turn comes; who is not wanted any more by then costs nobody's place. */
  enter(isWanted: () => boolean, run: () => void): void {
    this.line.push({ isWanted, run })
    this.admit()
  }

  private admit(): void {
    const now = this.runtime.monotonicMs()
    this.places = Math.min(this.perSecond, this.places + ((now - this.countedMs) / 1000) * this.perSecond)
    this.countedMs = now
    for (let first = this.line[0]; first !== undefined; first = this.line[0]) {
      const isWanted = first.isWanted()
      if (isWanted && this.places < 1) break
      this.line.shift()
      if (!isWanted) continue
      this.places -= 1
      first.run()
    }
    if (this.line.length === 0 || this.next !== undefined) return
    this.next = this.runtime.after(((1 - this.places) / this.perSecond) * 1000, () => {
      this.next = undefined
      this.admit()
    })
  }
}
