import type { FrpcOptions } from './frpc.ts'
import type { FrpsOptions } from './frps.ts'
import { placed } from './problems.ts'

/** What a file may say that is accepted and does nothing yet. Whoever builds it deletes the line. */
export interface NotBuilt<T> {
  test(options: T): boolean
  text: string
}

export const FRPS_NOT_BUILT: readonly NotBuilt<FrpsOptions>[] = [
  {
    test: (o) => o.kcpBindPort > 0,
    text: 'kcpBindPort is not built: no KCP listener is opened, clients use tcp, websocket or wss at bindPort',
  },
  {
    test: (o) => o.quicBindPort > 0,
    text: 'quicBindPort is not built: no QUIC listener is opened, clients use tcp, websocket or wss at bindPort',
  },
]

export const FRPC_NOT_BUILT: readonly NotBuilt<FrpcOptions>[] = [
  {
    test: (o) => o.transport.protocol === 'kcp' || o.transport.protocol === 'quic',
    text: 'transport.protocol kcp and quic are not built: use tcp, websocket or wss',
  },
  { test: (o) => o.virtualNet.address !== '', text: 'virtualNet is not built: no interface is made' },
  {
    test: (o) => o.visitors.some((visitor) => visitor.plugin !== undefined),
    text: 'plugins of visitors are not built: such a visitor does not start',
  },
  {
    test: (o) => o.proxies.some((proxy) => proxy.plugin?.type === 'virtual_net'),
    text: 'plugin virtual_net is not built: such a proxy has no service',
  },
]

/** The lines for what is in use. */
export function warningsOf<T>(list: readonly NotBuilt<T>[], options: T, fileName = ''): string[] {
  return list.filter((item) => item.test(options)).map((item) => placed({ fileName }, item.text))
}
