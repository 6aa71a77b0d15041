import { completeFrpc } from '../../config/load.ts'
import { messageOf } from '../../contract/errors.ts'
import { escapeControls } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { environment } from '../../node/source-file.ts'
import { classifyNat } from '../../protocol/frp/nat-feature.ts'
import { discoverNat, localIps } from '../nathole/discover.ts'
import { type ReadOptions, readConfig } from './config-file.ts'
import type { Flag } from './flags.ts'

/** The flags of `frpc nathole discover`. */
export const NATHOLE_FLAGS: readonly Flag[] = [
  { name: 'nat_hole_stun_server', kind: 'string', about: 'STUN server address for nathole' },
  { name: 'nat_hole_local_addr', short: 'l', kind: 'string', about: 'local address to connect STUN server' },
]

/** Those flags if the two words are that command. */
export function natholeFlags(first: string, second: string): readonly Flag[] | undefined {
  return first === 'nathole' && second === 'discover' ? NATHOLE_FLAGS : undefined
}

/** Runs `frpc nathole discover`; prints what frp prints, and resolves to the exit code. */
export async function natholeDiscover(
  fileName: string,
  reading: ReadOptions,
  given: { stunServer: string; localAddress: string },
): Promise<number> {
  const server = given.stunServer === '' ? stunServerOf(fileName, reading) : given.stunServer
  const runtime = nodeRuntime()
  try {
    const { addresses, localAddress } = await discoverNat(server, given.localAddress, runtime)
    if (addresses.length < 2) {
      return told(`discover error: can not get enough addresses, need 2, got: [${addresses.join(' ')}]`)
    }
    const feature = classifyNat(addresses, localIps())
    const lines = [
      `STUN server: ${server}`,
      `Your NAT type is: ${feature.natType}`,
      `Behavior is: ${feature.behavior}`,
      `External address is: [${addresses.join(' ')}]`,
      `Local address is: ${localAddress}`,
      `Public Network: ${feature.publicNetwork}`,
    ]
    console.log(lines.map(escapeControls).join('\n'))
    return 0
  } catch (error) {
    return told(`discover error: ${messageOf(error)}`)
  }
}

/** A file that cannot be read is as good as none: the flags may be all there is. */
function stunServerOf(fileName: string, reading: ReadOptions): string {
  try {
    return readConfig(fileName, reading).options.natHoleStunServer
  } catch {
    // As in frp: the default is asked then.
    return completeFrpc({}, { envs: environment() }).options.natHoleStunServer
  }
}

function told(line: string): number {
  console.log(escapeControls(line))
  return 1
}
