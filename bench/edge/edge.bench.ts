import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import net from 'node:net'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { workerdBinary } from '../../test/e2e/workerd-rig.ts'
import { TARGETS } from '../chains.ts'
import type { Direction } from '../load/commands.ts'
import { cpuSeconds, LoadProcess } from '../processes.ts'
import { median } from '../table.ts'
import { BODY_HOST, bundle, EDGE_TOKEN, type EdgeChain, startBare, startEdge } from './chains.ts'
import type { Probe } from './probe.ts'
import { Sleeper } from './sleeper.ts'

// The relay on local workerd beside a bare Worker, Durable Object and WebSocket: `npm run bench -- edge [--quick]`.

const MEBIBYTE = 1024 * 1024
const GIBIBYTE = 1024 * MEBIBYTE
/** workerd lets an object go after 10 s without an event. */
const SLEEP_MS = 12_000
/** A p99 of fewer is their slowest one. */
const SLEEPERS = 200
const FLOWING_POLL_MS = 20
const BUNDLE_LIMIT_KIB = 150
/** What the bare chain allows at most, by the project's bar. */
const BAR = 0.8

interface Measure {
  label: string
  unit: string
  isHigherBetter: boolean
  /** Held against the bar. */
  isBarred: boolean
  run(chain: EdgeChain): Promise<number>
}

interface Options {
  rounds: number
  isQuick: boolean
}

/** Answers the exit code: 1 when a row is below the bar. */
export async function benchEdge({ rounds, isQuick }: Options): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'edgefrp-bench-'))
  const user = new LoadProcess('user.ts')
  const service = new LoadProcess('service.ts', [`bulk:${TARGETS.bulk}`])
  const web = new LoadProcess('service.ts', [`http:${TARGETS.http}`])
  const chains: EdgeChain[] = []
  try {
    await Promise.all([user, service, web].map(({ ready }) => ready))
    const real = bundle(join(folder, 'real'), 'worker/index.ts', 'Hub')
    const hosts = Array.from({ length: SLEEPERS }, (_, i) => `h${i}.bench.test`)
    chains.push(await startEdge(bundle(join(folder, 'edge'), 'bench/edge/probe-worker.ts', 'Hub'), hosts))
    chains.push(await startBare(bundle(join(folder, 'bare'), 'bench/edge/bare-worker.ts', 'Bare')))
    const measures = measuresOf(user, service, isQuick)
    const values = new Map<string, number[]>()
    for (let round = 0; round < rounds; round++) {
      for (const measure of measures) {
        for (const chain of round % 2 === 0 ? chains : chains.toReversed()) {
          const value = await measure.run(chain)
          const key = `${chain.name} ${measure.label}`
          values.set(key, [...(values.get(key) ?? []), value])
          console.error(`${key}: ${value.toPrecision(4)} ${measure.unit}`)
        }
      }
    }
    const asleep = await sleeping(chains, hosts, isQuick)
    const size = `${(real.gzipBytes / 1024).toFixed(1)} KiB`
    const starts = chains.map(({ startMs }) => `${startMs.toFixed(0)} ms`)
    const more = [
      ...asleep,
      `| bundle, minified and gzipped | ${size} | - | - | at most ${BUNDLE_LIMIT_KIB} KiB |`,
      `| workerd started, to the Worker's first answer | ${starts[0]} | ${starts[1]} | - | - |`,
    ]
    return report(measures, values, more, isQuick, rounds)
  } finally {
    for (const chain of chains) await chain.stop()
    for (const one of [user, service, web]) one.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function measuresOf(user: LoadProcess, service: LoadProcess, isQuick: boolean): Measure[] {
  const durationMs = isQuick ? 500 : 2_000
  const bodyBytes = (isQuick ? 64 : 512) * MEBIBYTE
  const rate = (connections: number): Measure[] =>
    withCpu(`requests, ${connections} in flight`, '1/s', 'ms each', async ({ httpPort }) => {
      const command = { do: 'http', port: httpPort, connections, keepAlive: true, durationMs } as const
      const { count, errors, elapsedMs } = await user.call(command)
      if (errors > 0) throw new Error(`${errors} requests failed`)
      return { value: (count * 1000) / elapsedMs, perSecondOfCpu: count / 1000 }
    })
  const bulk = (label: string, run: (chain: EdgeChain) => Promise<{ bytes: number; ms: number }>): Measure[] =>
    withCpu(label, 'MiB/s', 's/GiB', async (chain) => {
      const { bytes, ms } = await run(chain)
      return { value: bytes / MEBIBYTE / (ms / 1000), perSecondOfCpu: bytes / GIBIBYTE }
    })
  return [
    ...rate(1),
    ...rate(32),
    ...bulk('response body', (chain) => download(chain.httpPort, bodyBytes)),
    ...bulk('visit up', (chain) => stream(chain.visitPort, 'up', user, service, durationMs)),
    ...bulk('visit down', (chain) => stream(chain.visitPort, 'down', user, service, durationMs)),
  ]
}

/** A row and the CPU of workerd for it, which divides by `perSecondOfCpu`. */
function withCpu(
  label: string,
  unit: string,
  cpuUnit: string,
  run: (chain: EdgeChain) => Promise<{ value: number; perSecondOfCpu: number }>,
): [Measure, Measure] {
  const cpu = new Map<string, number>()
  return [
    {
      label,
      unit,
      isHigherBetter: true,
      isBarred: true,
      run: async (chain) => {
        const before = cpuSeconds([chain.workerd.pid])
        const { value, perSecondOfCpu } = await run(chain)
        cpu.set(chain.name, (cpuSeconds([chain.workerd.pid]) - before) / perSecondOfCpu)
        return value
      },
    },
    {
      label: `${label}: CPU of workerd`,
      unit: cpuUnit,
      isHigherBetter: false,
      isBarred: false,
      run: async ({ name }) => cpu.get(name) ?? 0,
    },
  ]
}

/** A response of so many bytes; its head is part of them. */
async function download(port: number, bytes: number): Promise<{ bytes: number; ms: number }> {
  const startedAt = performance.now()
  const received = await new Promise<number>((resolve, reject) => {
    let count = 0
    const socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.alloc(256 * 1024),
        callback: (length) => {
          count += length
          if (count >= bytes) socket.destroy()
          return true
        },
      },
    })
    socket.on('close', () => resolve(count))
    socket.on('error', reject)
    socket.write(`GET /bytes/${bytes} HTTP/1.1\r\nHost: ${BODY_HOST}\r\n\r\n`)
  })
  if (received < bytes) throw new Error(`${received} bytes of a body of ${bytes}`)
  return { bytes, ms: performance.now() - startedAt }
}

async function stream(
  port: number,
  direction: Direction,
  user: LoadProcess,
  service: LoadProcess,
  durationMs: number,
): Promise<{ bytes: number; ms: number }> {
  const receiver = direction === 'up' ? service : user
  await user.call({ do: 'stream', port, connections: 1, direction })
  await flowing(receiver)
  await wait(durationMs / 4)
  const from = { ...(await receiver.call({ do: 'bytes' })), at: performance.now() }
  await wait(durationMs)
  const to = { ...(await receiver.call({ do: 'bytes' })), at: performance.now() }
  await user.call({ do: 'stop' })
  // What the bare chain still holds must not slow down the next row.
  await wait(durationMs / 4)
  return { bytes: to.received - from.received, ms: to.at - from.at }
}

/** Until bytes come. */
async function flowing(receiver: LoadProcess): Promise<void> {
  const { received } = await receiver.call({ do: 'bytes' })
  while ((await receiver.call({ do: 'bytes' })).received === received) await wait(FLOWING_POLL_MS)
}

/** Wake latency and state, over hubs of their own. */
async function sleeping(chains: readonly EdgeChain[], hosts: readonly string[], isQuick: boolean): Promise<string[]> {
  const edge = chains.find(({ name }) => name === 'edge')
  if (edge === undefined || isQuick) return []
  const clients: Sleeper[] = []
  for (const host of hosts) clients.push(await Sleeper.login(edge.httpPort, host, EDGE_TOKEN))
  await wait(SLEEP_MS)
  const cold: number[] = []
  const warm: number[] = []
  for (const client of clients) {
    cold.push(await client.ping())
    warm.push(await client.ping())
  }
  const probes = await Promise.all(hosts.map((host) => probe(edge.httpPort, host)))
  const lives = probes[0]?.lives ?? 0
  if (lives < 2 * hosts.length) throw new Error(`hubs did not sleep: ${lives} objects made for ${hosts.length}`)
  const bytes = Math.max(...probes.flatMap(({ attachments }) => attachments))
  for (const client of clients) client.close()
  const at = (times: number[], part: number): string => {
    const sorted = times.toSorted((a, b) => a - b)
    return `${(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0).toFixed(2)} ms`
  }
  return [
    `| answer of a hub that sleeps, p50 (${hosts.length} hubs) | ${at(cold, 0.5)} | - | - | - |`,
    `| answer of a hub that sleeps, p99 | ${at(cold, 0.99)} | - | - | at most 5 ms |`,
    `| the same awake, p50 | ${at(warm, 0.5)} | - | - | - |`,
    `| state of a sleeping session with one work connection | ${bytes} bytes | - | - | at most 4096 bytes |`,
  ]
}

function probe(port: number, host: string): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const request = get({ port, host: '127.0.0.1', path: '/~!bench', headers: { Host: host } }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      // Written by probe-worker.ts.
      response.on('end', () => resolve(JSON.parse(text) as Probe))
    })
    request.on('error', reject)
  })
}

function report(
  measures: readonly Measure[],
  values: Map<string, number[]>,
  more: readonly string[],
  isQuick: boolean,
  rounds: number,
): number {
  const below: string[] = []
  const lines = ['| row | edgefrp | bare chain | ratio | bar |', '|---|---|---|---|---|']
  for (const { label, unit, isBarred, isHigherBetter } of measures) {
    const ours = median(values.get(`edge ${label}`)) ?? 0
    const bare = median(values.get(`bare ${label}`)) ?? 0
    const ratio = isHigherBetter ? ours / bare : bare / ours
    if (isBarred && ratio < BAR) below.push(label)
    const text = (value: number): string => `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ${unit}`
    lines.push(`| ${label} | ${text(ours)} | ${text(bare)} | ${ratio.toFixed(2)} | ${isBarred ? BAR : '-'} |`)
  }
  const page = [
    '# Benchmark of the edge',
    '',
    `Local workerd ${workerdVersion()} without wrangler, ${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown'}.`,
    `Medians of ${rounds} alternating rounds. Everything, load generators and services included, shares the cores: read the ratios.`,
    'The bare chain is a Worker, a Durable Object and a WebSocket without any protocol, limit or sleep: an echo for requests,',
    'and TCP bytes in messages of 64 KiB for the visit. A ratio is how much of it is left; of CPU, how many times less we use.',
    '',
    ...lines,
    ...more,
    '',
    below.length === 0
      ? `All rows reach ${BAR} of the bare chain.`
      : `Below ${BAR} of the bare chain: ${below.join('; ')}.`,
    '',
  ].join('\n')
  console.log(page)
  if (!isQuick) {
    const results = join(import.meta.dirname, '..', 'results')
    mkdirSync(results, { recursive: true })
    writeFileSync(join(results, `${new Date().toISOString().slice(0, 10)}-edge.md`), page)
  }
  return below.length === 0 ? 0 : 1
}

function workerdVersion(): string {
  return execFileSync(workerdBinary(), ['--version'], { encoding: 'utf8' }).trim().replace('workerd ', '')
}
