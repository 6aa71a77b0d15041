// The edge relay on this machine: `npm run dev [-- flags of wrangler dev]`.
import { spawn } from 'node:child_process'
import { join } from 'node:path'

const wrangler = join(import.meta.dirname, '..', 'node_modules', 'wrangler', 'wrangler-dist', 'cli.js')
const child = spawn(process.execPath, [wrangler, 'dev', ...process.argv.slice(2)], {
  stdio: 'inherit',
  // Else wrangler writes a trace of each message to disk, which is slower than all of the relay.
  env: { X_LOCAL_OBSERVABILITY: 'false', ...process.env },
})
// A terminal's Ctrl-C reaches wrangler by itself; what is sent to us alone is passed on.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
child.on('exit', (code) => {
  process.exitCode = code ?? 1
})
