import { FrpError } from '../contract/errors.ts'
import { formatAddress } from '../contract/ip.ts'

/** Go's texts for what a listen can fail with; scripts know them. */
const GO_TEXTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'address already in use',
  EACCES: 'permission denied',
  EADDRNOTAVAIL: 'cannot assign requested address',
  EAFNOSUPPORT: 'address family not supported by protocol',
}

/** PORT_TAKEN with the text that Go has for a TCP port that cannot be opened. */
export function listenError(address: string, port: number, error: NodeJS.ErrnoException): FrpError {
  const text = GO_TEXTS[error.code ?? '']
  const why = text === undefined ? error.message : `bind: ${text}`
  return new FrpError('PORT_TAKEN', `listen tcp ${formatAddress(address, port)}: ${why}`, { cause: error })
}
