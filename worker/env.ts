import { type FrpsOptions, loadFrps } from '../config/load.ts'
import { FrpError } from '../contract/errors.ts'
import type { Hub } from './hub.ts'

export interface Env {
  HUB: DurableObjectNamespace<Hub>
  /** frps.toml as text; continued in FRPS_CONFIG_1, FRPS_CONFIG_2, … because a variable holds 5 KB. */
  FRPS_CONFIG?: string
}

/** What Go's templates print for a variable that is not set. */
const NO_VALUE = '<no value>'
const MAX_CONFIG_PARTS = 64

/** Of this isolate, by the variable's name: variables change only with a deploy, and each wake would read them. */
const configs = new Map<string, FrpsOptions>()

/** A relay's configuration from the Worker's variables; `name` is the variable with its text. Throws FrpError CONFIG_*. */
export function configOf(env: Env, name = 'FRPS_CONFIG'): FrpsOptions {
  const known = configs.get(name)
  if (known !== undefined) return known
  const options = read(env, name)
  configs.set(name, options)
  return options
}

function read(env: Env, name: string): FrpsOptions {
  const texts = textsOf(env)
  const { options } = loadFrps({ text: joined(texts, name), fileName: name, envs: texts })
  // Every request to the Worker is one to the vhost; the port is what its users see.
  options.vhostHTTPPort = 443
  if (options.auth.token === NO_VALUE) options.auth.token = ''
  return options
}

/** Why this relay must not serve yet, for whoever deploys it; undefined: it may. */
export function refusal(options: FrpsOptions): string | undefined {
  const { auth, edgefrp } = options
  if (auth.token !== '' || auth.method === 'oidc' || edgefrp.users.length > 0) return undefined
  return (
    'This relay has no token, and a relay that is open to everybody is never the default. ' +
    'Set one: npx wrangler secret put FRP_TOKEN (and keep auth.token = "{{ .Envs.FRP_TOKEN }}" in FRPS_CONFIG); for `npm run dev`, FRP_TOKEN=... in .dev.vars.'
  )
}

function joined(texts: Record<string, string>, name: string): string {
  let text = texts[name]
  if (text === undefined) throw new FrpError('CONFIG_FILE', `the variable ${name} is not set`)
  for (let part = 1; part < MAX_CONFIG_PARTS; part++) {
    const more = texts[`${name}_${part}`]
    if (more === undefined) break
    text += more
  }
  return text
}

/** Variables and secrets; bindings are objects. */
function textsOf(env: Env): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [key, value] of Object.entries(env)) if (typeof value === 'string') texts[key] = value
  return texts
}
