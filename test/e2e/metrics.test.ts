import { spawnSync } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { askWeb } from './api-rig.ts'
import { CleanUp, converse, echoTcp, freePorts, startClient } from './client-rig.ts'
import { startRelay } from './frps-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const NAMES = ['plain', 'quo"te', 'back\\slash', 'ünïcode 漢']

/** The page of a relay with a proxy of each name, the first of which has carried 5 bytes each way. */
async function page(): Promise<string> {
  const [bindPort = 0, webPort = 0, port = 0] = await freePorts(3)
  await startRelay(cleanUp, { bindPort, webServer: { port: webPort }, enablePrometheus: true })
  const localPort = await echoTcp(cleanUp)
  const proxies = NAMES.map((name, i) => ({ name, type: 'tcp', localPort, remotePort: i === 0 ? port : 0 }))
  const client = startClient(cleanUp, { serverAddr: '127.0.0.1', serverPort: bindPort, proxies })
  for (const name of NAMES) await client.lines.waitFor(`[${name}] start proxy success`)
  await converse(port, Buffer.from('hello'), { end: true })
  return (await askWeb(webPort, '/metrics')).text
}

/** Reads Prometheus' text format strictly; throws for a line that is none. */
function read(text: string): { family: string; labels: Map<string, string>; value: number }[] {
  const samples: { family: string; labels: Map<string, string>; value: number }[] = []
  const families = new Set<string>()
  let [helped, typed] = ['', '']
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.slice(0, -1).split('\n')) {
    const [, help] = /^# HELP ([a-z_]+) [^\\]+$/.exec(line) ?? []
    const [, type] = /^# TYPE ([a-z_]+) (?:gauge|counter)$/.exec(line) ?? []
    if (help !== undefined) {
      expect(families.has(help)).toBe(false)
      families.add(help)
      helped = help
    } else if (type !== undefined) {
      expect(type).toBe(helped)
      typed = type
    } else {
      const [, family = '', labelText = '', value = ''] = /^([a-z_]+)(?:\{(.*)\})? (-?[0-9.e+]+)$/.exec(line) ?? []
      expect([line, family]).toEqual([line, typed])
      const labels = [...labelText.matchAll(/([a-z]+)="((?:[^"\\]|\\["\\n])*)"(?:,|$)/g)]
      expect(labels.map(([part]) => part).join('')).toBe(labelText)
      const plain = labels.map(([, key = '', escaped = '']): [string, string] => [key, escaped.replace(/\\(.)/g, '$1')])
      samples.push({ family, labels: new Map(plain), value: Number(value) })
    }
  }
  return samples
}

describe('the metrics of a relay', () => {
  it('are text that Prometheus reads, each series once, whatever a proxy is called', async () => {
    const samples = read(await page())
    const keys = samples.map(({ family, labels }) => `${family} ${JSON.stringify([...labels])}`)
    expect(new Set(keys).size).toBe(keys.length)
    const named = samples.filter(({ family }) => family === 'frp_server_proxy_counts_detailed')
    expect(named.map(({ labels }) => labels.get('name')).sort()).toEqual([...NAMES].sort())
    const carried = samples.filter(({ family, value }) => family === 'edgefrp_traffic_bytes_total' && value > 0)
    expect(carried.map(({ labels, value }) => [labels.get('name'), labels.get('direction'), value])).toEqual([
      ['plain', 'in', 5],
      ['plain', 'out', 5],
    ])
    const memory = samples.find(({ family }) => family === 'process_resident_memory_bytes')
    expect(memory?.value).toBeGreaterThan(1024 * 1024)
  })

  const promtool = process.env['PROMTOOL'] ?? ''
  it.skipIf(promtool === '')(
    'have for promtool (PROMTOOL names it) no fault but the names that are frp’s',
    async () => {
      const { stderr, status } = spawnSync(promtool, ['check', 'metrics'], { input: await page(), encoding: 'utf8' })
      expect(stderr.trim().split('\n')).toEqual([
        'frp_server_traffic_in counter metrics should have "_total" suffix',
        'frp_server_traffic_out counter metrics should have "_total" suffix',
      ])
      expect(status).toBe(3)
    },
  )
})
