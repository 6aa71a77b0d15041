import { FrpError } from '../../contract/errors.ts'
import type { Runtime } from '../../contract/runtime.ts'
import { splitAddress } from '../../protocol/frp/nat-feature.ts'
import { discoverNat, localIps } from './discover.ts'

/** What a peer is told of us, and the port of ours that it is about. */
export interface Prepared {
  mapped: string[]
  assisted: string[]
  localPort: number
}

/** Asks the STUN server where we are seen (frp: nathole.Prepare). Rejects as `discoverNat`, or with CONNECT_FAILED. */
export async function prepare(server: string, disableAssistedAddrs: boolean, runtime: Runtime): Promise<Prepared> {
  const { addresses, localAddress } = await discoverNat(server, '', runtime)
  if (addresses.length < 2) throw new FrpError('CONNECT_FAILED', 'discover error: not enough addresses')
  const localPort = splitAddress(localAddress).port
  const assisted = disableAssistedAddrs ? [] : localIps().map((ip) => `${ip}:${localPort}`)
  return { mapped: addresses, assisted, localPort }
}
