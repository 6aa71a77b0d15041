import { createRequire } from 'node:module'

/** What `npx edgefrp` runs: the two executables beside it, in this process. */
const USAGE = `usage: edgefrp frps [flags]     the relay, with frps's flags
       edgefrp frpc [flags]     the client, with frpc's flags
       edgefrp <command> ...    a command of the client, such as visit or verify
`

const command = process.argv[2]
const load = createRequire(import.meta.filename)

if (command === undefined || command === 'help' || command === '--help' || command === '-h') {
  process.stdout.write(USAGE)
} else if (command === 'frps' || command === 'frpc') {
  process.argv.splice(2, 1)
  load(`./${command}.js`)
} else {
  load('./frpc.js')
}
