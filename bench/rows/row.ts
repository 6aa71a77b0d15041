import type { Chain, ChainName } from '../chains.ts'
import type { LoadProcess } from '../processes.ts'

/** One number of the table. */
export interface Metric {
  id: string
  label: string
  unit: string
  isHigherBetter: boolean
  /** What we want: so many times better than stock, or a bound in the row's unit. */
  goal?: { timesStock: number } | { atMost: number }
  /** Not part of the gate. */
  isExempt?: boolean
}

/** What a row may use besides the chain. */
export interface Load {
  user: LoadProcess
  /** A second process of users, so that a stream's own work delays no ping. */
  streamer: LoadProcess
  bulkService: LoadProcess
  /** A further process of load/, started by the first who asks for it. */
  helper(file: string): Promise<LoadProcess>
  /** The shortest run that still says something: for trying the benchmark itself. */
  isQuick: boolean
  isFirstRound: boolean
}

/** A group of numbers that are measured together on one chain. */
export interface Row {
  /** What the command line calls it. */
  name: string
  metrics: Metric[]
  chains: readonly ChainName[]
  /** Runs only when the command line names it. */
  isOnDemand?: boolean
  /** Wants a chain that was just started; the others get one that is warm. */
  isFresh?: boolean
  /** Shares its fresh chain with no other row. */
  isAlone?: boolean
  /** Values in the metrics' units by their ids; a metric may be missing. */
  measure(chain: Chain, load: Load): Promise<Record<string, number>>
}

export const ALL_CHAINS: readonly ChainName[] = ['ours', 'stock', 'haproxy', 'pipe']
export const TUNNELS: readonly ChainName[] = ['ours', 'stock']

/** Before a chain's first rate is measured, in all alike: after a second less, much of a process is not yet compiled. */
export const WARM_UP_MS = 3_000
/** The same before its first round trips. */
export const WARM_UP_TRIPS = 3_000
/** What a chain that was warm once needs in a later round, as a part of the first: nothing was forgotten meanwhile. */
const LATER_PART = 1 / 6

/** The warm-up of this round, from that of the first. */
export function warmUp(full: number, { isFirstRound, isQuick }: Load): number {
  return Math.round(full * (isFirstRound && !isQuick ? 1 : LATER_PART))
}
