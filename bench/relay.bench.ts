import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hostNode } from '../test/e2e/host-node.ts'
import { availableChains, type Chain, type ChainName, Executables, startChain, TARGETS } from './chains.ts'
import { networkNote, runInNamespace } from './network.ts'
import { LoadProcess } from './processes.ts'
import { bulk } from './rows/bulk.ts'
import { doors } from './rows/doors.ts'
import { downloads } from './rows/downloads.ts'
import { limits } from './rows/limits.ts'
import { idle, stalled } from './rows/memory.ts'
import { ping } from './rows/ping.ts'
import { connections, http, udp } from './rows/rates.ts'
import { recovery } from './rows/recovery.ts'
import { type Row, WARM_UP_MS, WARM_UP_TRIPS } from './rows/row.ts'
import { start } from './rows/start.ts'
import { wrapped } from './rows/wrapped.ts'
import { type Results, table } from './table.ts'

// The relay with its client beside stock frp with the same config files, haproxy and a plain net pipe, in one run:
//   npm run bench [-- bulk ping ...] [--rounds N] [--chains ours,pipe] [--quick]
//   npm run bench -- limits     what hostile peers cost, and whom they keep waiting (--rounds 1 takes five minutes)
//   npm run bench -- downloads  a stalled download beside busy ones, and a thousand that are cut
//   npm run bench -- recovery   how long a killed or silent end keeps the others waiting
//   npm run bench -- edge       the relay on local workerd beside a bare Worker, object and WebSocket
// FRP_BIN: the folder of stock frps and frpc. Exits with 1 when a row is behind stock.

/** In the order in which they run on a fresh chain: memory first, while the heap is small. */
const ROWS: readonly Row[] = [
  start,
  idle,
  stalled,
  downloads,
  bulk,
  wrapped,
  ping,
  connections,
  http,
  ...doors,
  udp,
  ...limits,
  recovery,
]
const ROUNDS = 3

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: String(ROUNDS) },
    chains: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
})

process.exitCode = (await runInNamespace()) ?? (await main())

async function main(): Promise<number> {
  if (positionals.includes('edge')) {
    const { benchEdge } = await import('./edge/edge.bench.ts')
    return benchEdge({ rounds: Number(options.rounds), isQuick: options.quick })
  }
  const rows = ROWS.filter(({ name, isOnDemand }) =>
    positionals.length === 0 ? !isOnDemand : positionals.includes(name),
  )
  const unknown = positionals.filter((name) => !ROWS.some((row) => row.name === name))
  if (unknown.length > 0) throw new Error(`no rows ${unknown}; there are ${ROWS.map(({ name }) => name)}`)
  const wanted = options.chains?.split(',')
  const chains = availableChains().filter((name) => wanted === undefined || wanted.includes(name))
  const executables = new Executables()
  const service = (...kinds: (keyof typeof TARGETS)[]): LoadProcess =>
    new LoadProcess(
      'service.ts',
      kinds.map((kind) => `${kind}:${TARGETS[kind]}`),
    )
  // One process counts what comes up, with and without TLS.
  const bulkService = service('bulk', 'tls')
  const services = [bulkService, service('echo'), service('http'), service('udp')]
  const user = new LoadProcess('user.ts')
  const streamer = new LoadProcess('user.ts')
  const everybody = [...services, user, streamer]
  await Promise.all(everybody.map(({ ready }) => ready))
  const helpers = new Map<string, LoadProcess>()
  const helper = async (file: string): Promise<LoadProcess> => {
    const found = helpers.get(file) ?? new LoadProcess(file)
    if (!helpers.has(file)) everybody.push(found)
    helpers.set(file, found)
    await found.ready
    return found
  }
  const results: Results = new Map()
  try {
    const load = { user, streamer, bulkService, helper, isQuick: options.quick }
    await runRounds(
      chains,
      rows,
      executables,
      (row, chain, round) => row.measure(chain, { ...load, isFirstRound: round === 0 }),
      results,
    )
  } finally {
    for (const one of everybody) one.stop()
    executables.remove()
  }
  return report(rows, results)
}

/** Of each row all chains in turn, so that noise meets them alike; the next round goes through them backwards. */
async function runRounds(
  names: readonly ChainName[],
  rows: readonly Row[],
  executables: Executables,
  measure: (row: Row, chain: Chain, round: number) => Promise<Record<string, number>>,
  results: Results,
): Promise<void> {
  const measureAll = async (row: Row, chain: Chain, round: number): Promise<void> => {
    if (!row.chains.includes(chain.name)) return
    const values = await measure(row, chain, round)
    for (const [id, value] of Object.entries(values)) {
      const ofMetric = results.get(id) ?? {}
      ofMetric[chain.name] = [...(ofMetric[chain.name] ?? []), value]
      results.set(id, ofMetric)
    }
    console.error(`${row.name} ${chain.name}: ${JSON.stringify(values, (_, v) => rounded(v))}`)
  }
  const freshRows = rows.filter((row) => row.isFresh)
  const groups = [
    freshRows.filter((row) => !row.isAlone),
    ...freshRows.filter((row) => row.isAlone).map((row) => [row]),
  ]
  const warmRows = rows.filter((row) => !row.isFresh)
  const warm: Chain[] = []
  try {
    for (let round = 0; round < Number(options.rounds); round++) {
      const order = round % 2 === 0 ? names : names.toReversed()
      for (const group of groups) {
        for (const name of order.filter((one) => group.some((row) => row.chains.includes(one)))) {
          const chain = await startChain(name, executables, 'fresh')
          try {
            for (const row of group) await measureAll(row, chain, round)
          } finally {
            await chain.stop()
          }
        }
      }
      if (warmRows.length === 0) continue
      if (warm.length === 0) for (const name of names) warm.push(await startChain(name, executables, 'warm'))
      for (const row of warmRows) {
        for (const name of order) {
          const chain = warm.find((one) => one.name === name)
          if (chain !== undefined) await measureAll(row, chain, round)
        }
      }
    }
  } finally {
    for (const chain of warm) await chain.stop()
  }
}

function rounded(value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(3)) : value
}

function report(rows: readonly Row[], results: Results): number {
  const node = execFileSync(hostNode(), ['--version'], { encoding: 'utf8' }).trim()
  const { text, behind } = table(
    rows.flatMap(({ metrics }) => metrics),
    results,
  )
  const processors = cpus()
  const page = [
    `# Benchmark, Node ${node}`,
    '',
    `${processors.length} cores, ${processors[0]?.model ?? 'unknown'}; ${networkNote()}.`,
    `Medians of ${options.rounds} alternating rounds. Everything, load generators included, shares the cores: read the ratios.`,
    `Rates after a warm-up of ${WARM_UP_MS / 1000} s per row, round trips after ${WARM_UP_TRIPS.toLocaleString('en-US')}, in each chain; a sixth of that again in later rounds.`,
    'Stock frp runs with the same files, bench/configs: over WebSocket, tcpMux on, TLS off. CPU is that of relay and clients together.',
    '',
    text,
    '',
    behind.length === 0 ? 'No row is behind stock frp.' : `Behind stock frp: ${behind.join('; ')}.`,
    '',
  ].join('\n')
  console.log(page)
  if (positionals.length === 0 && !options.quick) {
    const folder = join(import.meta.dirname, 'results')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `${new Date().toISOString().slice(0, 10)}-node${node.slice(1)}.md`), page)
  }
  return behind.length === 0 ? 0 : 1
}
