import { runCli } from './cli.ts'
import { serve } from './run.ts'

/** The executable `frps`. */
const cli = {
  print: (text: string) => void process.stdout.write(`${text}\n`),
  printError: (text: string) => void process.stderr.write(`${text}\n`),
  env: process.env,
  serve,
}

runCli(process.argv.slice(2), cli).then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    console.error(error)
    process.exit(1)
  },
)
