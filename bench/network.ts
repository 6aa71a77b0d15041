import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const MARK = 'BENCH_IN_NAMESPACE'
/** bbr, the default of some machines, paces loopback too and halves it. */
const CONTROL = 'cubic'

/**
 * Loopback alone, with cubic by its routes (the sysctl is not a namespace's to set everywhere), and more ports than
 * usual, because connections of earlier rows wait in TIME_WAIT.
 */
const SCRIPT = [
  'ip link set lo up',
  `for to in 127.0.0.0/8 127.0.0.1; do ip route replace local $to dev lo proto kernel scope host src 127.0.0.1 table local congctl ${CONTROL}; done`,
  'echo "10000 65000" > /proc/sys/net/ipv4/ip_local_port_range',
  'exec "$@"',
].join(' && ')

/**
 * Runs this program again in a network namespace of its own when root and the tools allow it, and answers its exit
 * code; undefined when the caller is in there already, or when it has to go on as it is.
 */
export async function runInNamespace(): Promise<number | undefined> {
  if (process.env[MARK] !== undefined || process.getuid?.() !== 0) return undefined
  if (spawnSync('unshare', ['-n', 'sh', '-c', SCRIPT, 'sh', 'true']).status !== 0) return undefined
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const child = spawn('unshare', ['-n', 'sh', '-c', SCRIPT, 'sh', ...self], {
    env: { ...process.env, [MARK]: '1' },
    // The channel carries nothing; its end tells the benchmark that we are gone, even when we were killed.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  // A terminal tells both; the other ones wait for our end.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)))
}

/** One line on the network that the numbers were measured on. */
export function networkNote(): string {
  if (process.env[MARK] !== undefined) return `loopback of a network namespace, congestion control ${CONTROL}`
  const control = readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'latin1').trim()
  const warning = control === 'bbr' ? ' (it paces loopback: bulk rows are about half of what they could be)' : ''
  return `the machine's own loopback, congestion control ${control}${warning}`
}
