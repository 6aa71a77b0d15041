import type { FrpsOptions } from '../config/frps.ts'
import { hexOf } from '../contract/bytes.ts'
import { FrpError, messageOf } from '../contract/errors.ts'
import type { Runtime } from '../contract/runtime.ts'
import {
  decode,
  encode,
  type Login,
  type Message,
  type NewProxy,
  type NewWorkConn,
  type Ping,
} from '../protocol/frp/messages.ts'

/** frp's operations that a server plugin may be asked about (pkg/plugin/server/plugin.go). */
export type PluginOp = 'Login' | 'NewProxy' | 'CloseProxy' | 'Ping' | 'NewWorkConn' | 'NewUserConn'

/** One POST to a plugin, with a JSON body. */
export interface PluginRequest {
  url: string
  body: string
  /** The header X-Frp-Reqid. */
  requestId: string
  /** False: a certificate that cannot be verified is accepted, frp's default. */
  tlsVerify: boolean
}

export interface PluginReply {
  status: number
  body: string
}

/** What a runtime lends for calling plugins; rejects when there is no answer. */
export type CallPlugin = (request: PluginRequest) => Promise<PluginReply>

/** The client that an operation belongs to, as frp's plugins know it. */
export interface PluginUser {
  user: string
  metas: Readonly<Record<string, string>>
  /** frp sends the run id itself, which whoever runs the relay may know. */
  run_id: string
}

/** A user's connection to a proxy, before it is let in. */
export interface UserConn {
  user: PluginUser
  proxyName: string
  proxyType: string
  /** `ip:port`. */
  remoteAddr: string
}

export interface ServerPluginsOptions {
  runtime: Runtime
  plugins: FrpsOptions['httpPlugins']
  /** Undefined: this runtime calls none. */
  call: CallPlugin | undefined
}

/** frp pkg/plugin/server/plugin.go APIVersion. */
const API_VERSION = '0.1.0'
const REQUEST_ID_BYTES = 8

interface Plugin {
  name: string
  url: string
  tlsVerify: boolean
  ops: ReadonlySet<string>
}

interface Answer {
  isUnchanged: boolean
  content: unknown
}

const utf8 = new TextEncoder()

/**
 * The operator's own programs that are asked, in the order of the configuration, whether something may be done;
 * what one of them changed is what the next one sees. Ask `has` first: without a plugin nothing has to wait.
 */
export class ServerPlugins {
  private readonly runtime: Runtime
  private readonly plugins: readonly Plugin[]
  private readonly call: CallPlugin | undefined

  /** Throws NOT_SUPPORTED for plugins on a runtime that cannot call them. */
  constructor({ runtime, plugins, call }: ServerPluginsOptions) {
    this.runtime = runtime
    this.call = call
    this.plugins = plugins.map(({ name, addr, path, ops, tlsVerify }) => ({
      name,
      url: urlOf(addr + path),
      tlsVerify,
      ops: new Set(ops),
    }))
    if (call === undefined && plugins.length > 0) {
      throw new FrpError('NOT_SUPPORTED', 'httpPlugins: this relay has no way to call a plugin')
    }
  }

  /** Whether somebody wants to be asked about this. */
  has(op: PluginOp): boolean {
    return this.plugins.some(({ ops }) => ops.has(op))
  }

  /** Before the token is checked; answers the login to go on with. Rejects with PLUGIN_REFUSED, as all of these do. */
  login(login: Login, clientAddress: string): Promise<Login> {
    return this.askAbout('Login', login, (own) => {
      const fields = encode({ ...own, edgefrp: undefined })
      return `${fields.slice(0, -1)}${fields === '{}' ? '' : ','}"client_address":${JSON.stringify(clientAddress)}}`
    })
  }

  newProxy(user: PluginUser, message: NewProxy): Promise<NewProxy> {
    return this.askAbout('NewProxy', message, (own) => withUser(user, own))
  }

  ping(user: PluginUser, ping: Ping): Promise<Ping> {
    return this.askAbout('Ping', ping, (own) => withUser(user, own))
  }

  newWorkConn(user: PluginUser, message: NewWorkConn): Promise<NewWorkConn> {
    return this.askAbout('NewWorkConn', message, (own) => withUser(user, own))
  }

  /** Resolves when the user may come in. */
  async newUserConn({ user, proxyName, proxyType, remoteAddr }: UserConn): Promise<void> {
    const content = { user: userOf(user), proxy_name: proxyName, proxy_type: proxyType, remote_addr: remoteAddr }
    let text = JSON.stringify(content)
    await this.ask('NewUserConn', {
      text: () => text,
      changed: (given) => {
        text = JSON.stringify(given ?? {})
      },
    })
  }

  /** Tells that a proxy is gone; nobody waits for it, and what fails is a line in the log. */
  closeProxy(user: PluginUser, proxyName: string): void {
    const asked = this.plugins.filter(({ ops }) => ops.has('CloseProxy'))
    if (asked.length === 0) return
    const body = `{"user":${JSON.stringify(userOf(user))},"proxy_name":${JSON.stringify(proxyName)}}`
    const requestId = this.newRequestId()
    const log = this.runtime.log.child(`reqid: ${requestId}`)
    const tellAll = async (): Promise<void> => {
      for (const plugin of asked) {
        try {
          await this.send(plugin, 'CloseProxy', body, requestId)
        } catch (error) {
          log.warn(`send CloseProxy request to plugin [${plugin.name}] error: ${messageOf(error)}`)
        }
      }
    }
    void tellAll()
  }

  private async askAbout<M extends Message>(op: PluginOp, message: M, text: (message: M) => string): Promise<M> {
    let current = message
    await this.ask(op, {
      text: () => text(current),
      changed: (content) => {
        const read = decode(message.type, utf8.encode(JSON.stringify(content ?? {})))
        // `decode` gives a message of the type that it was asked for; a plugin knows nothing of our own key.
        current = { ...(read as M), ...('edgefrp' in message ? { edgefrp: message.edgefrp } : {}) }
      },
    })
    return current
  }

  private async ask(op: PluginOp, content: { text: () => string; changed: (given: unknown) => void }): Promise<void> {
    const requestId = this.newRequestId()
    for (const plugin of this.plugins) {
      if (!plugin.ops.has(op)) continue
      let reply: Answer
      try {
        reply = await this.send(plugin, op, content.text(), requestId)
        if (!reply.isUnchanged) content.changed(reply.content)
      } catch (error) {
        if (error instanceof Rejection) throw new FrpError('PLUGIN_REFUSED', error.message)
        const line = `send ${op} request to plugin [${plugin.name}] error: ${messageOf(error)}`
        const log = this.runtime.log.child(`reqid: ${requestId}`)
        // As frp: one line for each user would be noise as a warning.
        if (op === 'NewUserConn') log.info(line)
        else log.warn(line)
        throw new FrpError('PLUGIN_REFUSED', `send ${op} request to plugin error`, { cause: error })
      }
    }
  }

  private async send(plugin: Plugin, op: PluginOp, content: string, requestId: string): Promise<Answer> {
    if (this.call === undefined) throw new FrpError('NOT_SUPPORTED', 'there is no way to call a plugin')
    const { status, body } = await this.call({
      url: `${plugin.url}?op=${op}&version=${API_VERSION}`,
      body: `{"version":"${API_VERSION}","op":"${op}","content":${content}}`,
      requestId,
      tlsVerify: plugin.tlsVerify,
    })
    if (status !== 200) throw new FrpError('PLUGIN_REFUSED', `do http request error code: ${status}`)
    return answerOf(body, op)
  }

  private newRequestId(): string {
    return hexOf(this.runtime.crypto.randomBytes(REQUEST_ID_BYTES))
  }
}

/** A plugin said no; its reason is for the client. */
class Rejection extends Error {}

/** Reads a reply with Go's rules for types; `reject` is nothing to a CloseProxy that has happened already. */
function answerOf(body: string, op: PluginOp): Answer {
  let reply: unknown
  try {
    reply = JSON.parse(body)
  } catch (cause) {
    throw new FrpError('PLUGIN_REFUSED', `the reply is no JSON: ${messageOf(cause)}`, { cause })
  }
  if (typeof reply !== 'object' || reply === null || Array.isArray(reply)) {
    throw new FrpError('PLUGIN_REFUSED', 'the reply is no JSON object')
  }
  const fields = new Map<string, unknown>(Object.entries(reply))
  const flag = (name: string): boolean => {
    const value = fields.get(name) ?? false
    if (typeof value !== 'boolean') throw new FrpError('PLUGIN_REFUSED', `${name} in the reply is no boolean`)
    return value
  }
  const reason = fields.get('reject_reason') ?? ''
  if (typeof reason !== 'string') throw new FrpError('PLUGIN_REFUSED', 'reject_reason in the reply is no string')
  if (flag('reject') && op !== 'CloseProxy') throw new Rejection(reason)
  return { isUnchanged: flag('unchange'), content: fields.get('content') }
}

/** frp assumes http. */
function urlOf(address: string): string {
  return /^https?:\/\//.test(address) ? address : `http://${address}`
}

function withUser(user: PluginUser, message: NewProxy | Ping | NewWorkConn): string {
  const own = encode(message)
  return `{"user":${JSON.stringify(userOf(user))}${own === '{}' ? '' : ','}${own.slice(1)}`
}

/** Exactly the three fields; Go writes a map that is not there as null, which plugins in other languages mind. */
function userOf({ user, metas, run_id: runId }: PluginUser): object {
  return { user, metas: { ...metas }, run_id: runId }
}
