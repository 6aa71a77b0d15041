import type ssh2 from 'ssh2'

/** What the gateway uses of the package ssh2. */
export type Ssh2 = Pick<typeof ssh2, 'Server' | 'utils'>

/** Loads ssh2: a third of the executable's code, and only a relay with a gateway pays for running it. */
export async function loadSsh2(): Promise<Ssh2> {
  const { default: library } = await import('ssh2')
  return library
}
