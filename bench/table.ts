import type { ChainName } from './chains.ts'
import type { Metric } from './rows/row.ts'

/** Values of all rounds: metric id, chain, one number a round. */
export type Results = Map<string, Partial<Record<ChainName, number[]>>>

/** Median; undefined of nothing. */
export function median(values: readonly number[] | undefined): number | undefined {
  if (values === undefined || values.length === 0) return undefined
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low, high] = [sorted[middle - 1] ?? 0, sorted[middle] ?? 0]
  return sorted.length % 2 === 1 ? high : (low + high) / 2
}

/** How many times better the first is than the second. */
function times(metric: Metric, ours: number, other: number): number {
  if (ours === other) return 1
  return metric.isHigherBetter ? ours / other : other / ours
}

/** What the table shows as 1.00x is not behind: a hundredth says nothing. */
function isBehind(metric: Metric, ratio: number | undefined): boolean {
  return ratio !== undefined && Number(ratio.toFixed(2)) < 1 && !metric.isExempt
}

/** The table in markdown, and the labels of rows behind stock. */
export function table(metrics: readonly Metric[], results: Results): { text: string; behind: string[] } {
  const behind: string[] = []
  const lines = [
    '| row | unit | edgefrp | stock frp | times stock | goal | met | haproxy twice | net pipe | times pipe |',
    '|---|---|---|---|---|---|---|---|---|---|',
  ]
  for (const metric of metrics) {
    const values = results.get(metric.id)
    if (values === undefined) continue
    const ours = median(values.ours)
    const stock = median(values.stock)
    const pipe = median(values.pipe)
    const ratio = ours === undefined || stock === undefined ? undefined : times(metric, ours, stock)
    if (isBehind(metric, ratio)) behind.push(metric.label)
    const cells = [
      metric.label,
      metric.unit,
      number(ours),
      number(stock),
      ratio === undefined ? '-' : `${ratio.toFixed(2)}x`,
      goalText(metric),
      verdict(metric, ours, ratio),
      number(median(values.haproxy)),
      number(pipe),
      ours === undefined || pipe === undefined ? '-' : `${times(metric, ours, pipe).toFixed(2)}x`,
    ]
    lines.push(`| ${cells.join(' | ')} |`)
  }
  return { text: lines.join('\n'), behind }
}

function goalText({ goal, unit }: Metric): string {
  if (goal === undefined) return '-'
  return 'timesStock' in goal ? `${goal.timesStock}x` : `at most ${goal.atMost} ${unit}`
}

function verdict(metric: Metric, ours: number | undefined, ratio: number | undefined): string {
  const { goal } = metric
  if (isBehind(metric, ratio)) return '**behind stock**'
  if (goal === undefined) return '-'
  if ('atMost' in goal) return ours === undefined ? '-' : ours <= goal.atMost ? 'yes' : 'no'
  return ratio === undefined ? '-' : ratio >= goal.timesStock ? 'yes' : 'no'
}

function number(value: number | undefined): string {
  if (value === undefined) return '-'
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
