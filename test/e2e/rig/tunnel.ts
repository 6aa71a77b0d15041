import type { RunningServer } from '../../../relay-node/server.ts'
import { type CleanUp, type Lines, startClient, type TestClient } from '../client-rig.ts'
import { startRelay } from '../frps-rig.ts'
import type { Carrier } from './carriers.ts'
import { quietPorts } from './ports.ts'

export interface TunnelPlan {
  /** `transport` of frpc.toml. */
  transport?: Carrier['transport'] | object
  /** More keys of frps.toml and frpc.toml. */
  relay?: object
  client?: object
  /** As in frpc.toml; tcp and udp get a remotePort. */
  proxies: readonly { name: string; type: string; remotePort?: number; [key: string]: unknown }[]
}

export interface Tunnel {
  server: RunningServer
  relayLines: Lines
  client: TestClient
  bindPort: number
  /** 0 unless a proxy is of type http. */
  vhostPort: number
  /** Where users of a tcp or udp proxy connect. */
  portOf(name: string): number
}

/** Our relay and our client in this process, with all proxies started. */
export async function startTunnel(cleanUp: CleanUp, plan: TunnelPlan): Promise<Tunnel> {
  const [bindPort = 0, vhostHTTPPort = 0, ...free] = await quietPorts(2 + plan.proxies.length)
  const hasHttp = plan.proxies.some(({ type }) => type === 'http')
  const auth = { token: 'tunnel-token' }
  const { server, lines } = await startRelay(cleanUp, {
    bindPort,
    auth,
    ...(hasHttp ? { vhostHTTPPort } : {}),
    ...plan.relay,
  })
  const proxies = plan.proxies.map((proxy, index) =>
    proxy.type === 'tcp' || proxy.type === 'udp' ? { remotePort: free[index], ...proxy } : proxy,
  )
  const client = startClient(cleanUp, {
    serverAddr: '127.0.0.1',
    serverPort: bindPort,
    auth,
    transport: plan.transport ?? {},
    proxies,
    ...plan.client,
  })
  for (const { name } of proxies) await client.lines.waitFor(`[${name}] start proxy success`)
  return {
    server,
    relayLines: lines,
    client,
    bindPort,
    vhostPort: hasHttp ? vhostHTTPPort : 0,
    portOf(name) {
      const port = proxies.find((proxy) => proxy.name === name)?.remotePort
      if (port === undefined) throw new RangeError(`no port of ${name}`)
      return port
    },
  }
}

/** Runs `one` for 0 … count - 1, at most `width` at a time; the results in their order. */
export async function batched<T>(count: number, width: number, one: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < count) {
      const index = next++
      results[index] = await one(index)
    }
  }
  await Promise.all(Array.from({ length: width }, lane))
  return results
}
