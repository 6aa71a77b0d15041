import type { FrpsOptions } from '../config/load.ts'
import { FrpError } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import type { PortListener } from './ingress.ts'
import { MAX_REMEMBERED_PORTS, PORT_RESERVATION_MS, RANDOM_PORT_TRIES } from './limits.ts'

/** An allowed range of ports, both ends included. */
export interface PortRange {
  start: number
  end: number
}

/** `allowPorts` of a configuration, whose entries are a range or a single port, in one form. */
export function rangesOf(allowPorts: FrpsOptions['allowPorts']): PortRange[] {
  return allowPorts.map(({ start, end, single }) => (single > 0 ? { start: single, end: single } : { start, end }))
}

interface Remembered {
  port: number
  releasedMs: number | undefined
}

/**
 * Which port a tcp (or udp) proxy gets: the rules of frp server/ports. One instance each for tcp and udp.
 * Opening the port itself is the runtime's; whoever is told here that a port is free still has to open it.
 */
export class PortBook {
  private readonly runtime: Runtime
  private ranges: readonly PortRange[]
  private readonly taken = new Set<number>()
  private readonly byName = new Map<string, Remembered>()

  /** No ranges: every port from 1 is allowed. */
  constructor(runtime: Runtime, ranges: readonly PortRange[]) {
    this.runtime = runtime
    this.ranges = orAll(ranges)
  }

  /** Other ranges from now on; ports that are open stay so. */
  allow(ranges: readonly PortRange[]): void {
    this.ranges = orAll(ranges)
  }

  /** Opens the port asked for, or for 0 the one this name had last, else any free one; `only`: of these ranges. */
  async open<Opened extends PortListener>(
    name: string,
    wanted: number,
    listen: (port: number) => Promise<Opened>,
    only: readonly PortRange[] = this.ranges,
  ): Promise<Opened> {
    if (wanted !== 0) {
      if (!this.isAllowed(wanted)) throw new FrpError('PORT_NOT_ALLOWED', 'port not allowed')
      return await this.tryPort(name, wanted, listen)
    }
    for (const port of this.candidates(name, only)) {
      try {
        return await this.tryPort(name, port, listen)
      } catch (error) {
        if (!(error instanceof FrpError) || error.code !== 'PORT_TAKEN') throw error
      }
    }
    throw new FrpError('PORT_TAKEN', 'no available port')
  }

  /** After sleep: a port that a proxy held before and holds again. */
  reopen(port: number): PortListener {
    this.taken.add(port)
    return { port, close: () => undefined }
  }

  release(name: string, port: number): void {
    this.taken.delete(port)
    const remembered = this.byName.get(name)
    if (remembered?.port === port) remembered.releasedMs = this.runtime.monotonicMs()
  }

  isAllowed(port: number): boolean {
    return isWithin(port, this.ranges)
  }

  private async tryPort<Opened extends PortListener>(
    name: string,
    port: number,
    listen: (port: number) => Promise<Opened>,
  ): Promise<Opened> {
    if (this.taken.has(port)) throw new FrpError('PORT_TAKEN', 'port already used')
    this.taken.add(port)
    try {
      const opened = await listen(port)
      this.remember(name, port)
      return opened
    } catch (error) {
      this.taken.delete(port)
      // frp tells a port that another process holds apart from one that a proxy holds.
      throw new FrpError('PORT_TAKEN', 'port unavailable', { cause: error })
    }
  }

  private candidates(name: string, ranges: readonly PortRange[]): number[] {
    const ports: number[] = []
    const last = this.byName.get(name)
    const now = this.runtime.monotonicMs()
    if (last !== undefined && (last.releasedMs === undefined || now - last.releasedMs < PORT_RESERVATION_MS)) {
      if (this.isAllowed(last.port) && isWithin(last.port, ranges)) ports.push(last.port)
    }
    const count = ranges.reduce((sum, range) => sum + range.end - range.start + 1, 0)
    const random = new DataView(this.runtime.crypto.randomBytes(4 * RANDOM_PORT_TRIES).slice().buffer)
    const start = random.getUint32(0) % count
    // Ports that a proxy holds are passed over without using up a try, so a small range is used to the end.
    for (let i = 0, tries = 0; i < count && tries < RANDOM_PORT_TRIES; i++) {
      const index = tries === 0 ? start + i : (random.getUint32(4 * tries) % count) + i
      const port = portAt(index % count, ranges)
      if (this.taken.has(port) || ports.includes(port) || !this.isAllowed(port)) continue
      ports.push(port)
      tries += 1
    }
    return ports
  }

  private remember(name: string, port: number): void {
    this.byName.delete(name)
    this.byName.set(name, { port, releasedMs: undefined })
    if (this.byName.size <= MAX_REMEMBERED_PORTS) return
    for (const [oldest, remembered] of this.byName) {
      if (remembered.releasedMs === undefined) continue
      this.byName.delete(oldest)
      break
    }
  }
}

function orAll(ranges: readonly PortRange[]): readonly PortRange[] {
  return ranges.length > 0 ? ranges : [{ start: 1, end: 65_535 }]
}

function isWithin(port: number, ranges: readonly PortRange[]): boolean {
  return ranges.some(({ start, end }) => port >= start && port <= end)
}

function portAt(index: number, ranges: readonly PortRange[]): number {
  let left = index
  for (const range of ranges) {
    const size = range.end - range.start + 1
    if (left < size) return range.start + left
    left -= size
  }
  throw new RangeError(`port index ${index}`)
}
