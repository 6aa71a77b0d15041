import type { NatFeature } from '../../protocol/frp/nat-feature.ts'
import { BEHAVIORS, type Behavior, type Mode } from './behaviors.ts'

/** Pairs of NATs whose tries are remembered; the one not met for longest is forgotten. */
const MAX_PAIRS = 10_000
/** frp: makeHoleRecords.reportSuccess. */
const SUCCESS_SCORE = 2
const MAX_SCORE = 10

/** What owner and visitor are to do, and by which mode and index its success is told. */
export interface Recommendation {
  mode: Mode
  index: number
  owner: Behavior
  visitor: Behavior
}

interface Score {
  mode: Mode
  index: number
  score: number
}

interface Pair {
  scores: Score[]
  usedMs: number
}

/** Which behaviours are tried for two NATs, and what came of it (frp: pkg/nathole/analysis.go). */
export class Analysis {
  private readonly pairs = new Map<string, Pair>()
  private readonly reserveMs: number

  /** `reserveMs`: how long a pair is remembered after its last use. */
  constructor(reserveMs: number) {
    this.reserveMs = reserveMs
  }

  /** The best of what was not tried too often; `key` names the pair. */
  recommend(key: string, owner: NatFeature, visitor: NatFeature, nowMs: number): Recommendation {
    this.forget(nowMs)
    const pair = this.pairs.get(key) ?? { scores: firstScores(owner, visitor), usedMs: nowMs }
    this.use(key, pair, nowMs)
    const [first, ...others] = pair.scores
    if (first === undefined) throw new TypeError('each class of NAT has behaviours')
    const best = others.reduce((a, b) => (b.score > a.score ? b : a), first)
    best.score -= 1
    const { mode, index } = best
    const behaviors = BEHAVIORS[mode][index]
    if (behaviors === undefined) throw new TypeError(`mode ${mode} has no behaviour ${index}`)
    const { a, b } = behaviors
    return isTurned(mode, owner) ? { mode, index, owner: b, visitor: a } : { mode, index, owner: a, visitor: b }
  }

  succeeded(key: string, mode: Mode, index: number, nowMs: number): void {
    const pair = this.pairs.get(key)
    if (pair === undefined) return
    this.use(key, pair, nowMs)
    const score = pair.scores.find((one) => one.mode === mode && one.index === index)
    if (score !== undefined) score.score = Math.min(score.score + SUCCESS_SCORE, MAX_SCORE)
  }

  /** The map keeps the order of use. */
  private use(key: string, pair: Pair, nowMs: number): void {
    pair.usedMs = nowMs
    this.pairs.delete(key)
    this.pairs.set(key, pair)
  }

  private forget(nowMs: number): void {
    for (const [key, { usedMs }] of this.pairs) {
      if (nowMs - usedMs <= this.reserveMs && this.pairs.size < MAX_PAIRS) break
      this.pairs.delete(key)
    }
  }
}

/** The hard one sends (mode 1) or receives (mode 2), the regular one sends (mode 4). */
function isTurned(mode: Mode, owner: NatFeature): boolean {
  switch (mode) {
    case 1:
      return owner.natType === 'EasyNAT'
    case 2:
      return owner.natType === 'HardNAT'
    case 4:
      return !owner.regularPortsChange
    case 0:
    case 3:
      return false
  }
}

function firstScores(owner: NatFeature, visitor: NatFeature): Score[] {
  const hard = [owner, visitor].filter(({ natType }) => natType === 'HardNAT')
  const regular = hard.filter(({ regularPortsChange }) => regularPortsChange).length
  if (hard.length === 0) return easyScores(owner, visitor)
  if (hard.length === 1) {
    const modes: Mode[] = regular === 1 ? [1, 2] : [2, 1]
    return [...modes.flatMap((mode) => scoresOf(mode)), ...easyScores(owner, visitor)]
  }
  if (regular === 2) return [...scoresOf(3), ...scoresOf(4)]
  if (regular === 1) return scoresOf(4)
  // Hardly a chance; frp tries these.
  const modes: Mode[] = [0, 1, 3]
  return modes.flatMap((mode) => scoresOf(mode, () => 1))
}

/** A side that the world sees under its own address need not send first. */
function easyScores(owner: NatFeature, visitor: NatFeature): Score[] {
  if (owner.publicNetwork) return scoresOf(0, (a) => (a.role === 'receiver' ? 1 : 0))
  if (visitor.publicNetwork) return scoresOf(0, (a) => (a.role === 'sender' ? 1 : 0))
  return scoresOf(0)
}

function scoresOf(mode: Mode, first: (a: Behavior) => number = () => 0): Score[] {
  return BEHAVIORS[mode].map(({ a }, index) => ({ mode, index, score: first(a) }))
}
