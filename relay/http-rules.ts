import type { Crypto } from '../contract/runtime.ts'
import type { NewProxy } from '../protocol/frp/messages.ts'
import { Fields, type RequestHead, removeHopByHop } from '../protocol/http1/head.ts'

/** An answer that the relay gives itself. */
export interface OwnAnswer {
  status: number
  reason: string
  fields: Fields
  body: string
}

/** Name and password of a Basic credential; undefined for anything else. */
export interface BasicCredential {
  user: string
  password: string
}

/**
 * The credential that counts for a request: Proxy-Authorization of a proxy-style request (absolute URI), else
 * Authorization. Routing by user and checking the password look at the same one (CVE-2026-40910 came of two).
 */
function credentialOf(head: RequestHead): BasicCredential | undefined {
  return parseBasic(head.fields.get(head.isAbsoluteForm ? 'Proxy-Authorization' : 'Authorization'))
}

/**
 * The user that routes a request. A proxy-style request without Proxy-Authorization is routed by
 * Authorization, so that it meets its route and is answered 407 instead of 404; that opens nothing, because
 * the password is looked for in Proxy-Authorization alone (frp pkg/util/vhost/http.go).
 */
export function routeUserOf(head: RequestHead): string {
  if (head.isAbsoluteForm && !head.fields.has('Proxy-Authorization')) {
    return parseBasic(head.fields.get('Authorization'))?.user ?? ''
  }
  return credentialOf(head)?.user ?? ''
}

/** RFC 7617: `Basic base64(user:password)`, as UTF-8. */
export function parseBasic(value: string | undefined): BasicCredential | undefined {
  const match = /^basic +([A-Za-z0-9+/]+=*)$/i.exec(value ?? '')
  if (match?.[1] === undefined) return undefined
  let bytes: string
  try {
    bytes = atob(match[1])
  } catch {
    return undefined // not base64: no credential
  }
  const text = new TextDecoder().decode(Uint8Array.from(bytes, (char) => char.charCodeAt(0)))
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** frp's answer to a request without the password of the proxy, or undefined if it may pass. */
export function refuseByPassword(head: RequestHead, message: NewProxy, crypto: Crypto): OwnAnswer | undefined {
  if (mayEnter(crypto, credentialOf(head), message)) return undefined
  const challenge = 'Basic realm="Restricted"'
  if (head.isAbsoluteForm) {
    return ownAnswer(407, 'Proxy Authentication Required', '', ['Proxy-Authenticate', challenge])
  }
  return ownAnswer(401, 'Unauthorized', 'Unauthorized\n', ['WWW-Authenticate', challenge])
}

/** Whether this is the user and password of the proxy, or it asks for none. */
export function mayEnter(crypto: Crypto, given: BasicCredential | undefined, message: NewProxy): boolean {
  if (message.http_user === '' && message.http_pwd === '') return true
  return (
    given !== undefined &&
    isEqual(crypto, given.user, message.http_user) &&
    isEqual(crypto, given.password, message.http_pwd)
  )
}

/** Changes the fields of a request to what the client's web server is sent (frp pkg/util/vhost/http.go). */
export function applyRequestRules(head: RequestHead, message: NewProxy, userIp: string, scheme: string): void {
  const { fields } = head
  removeHopByHop(fields, { upgrade: head.upgrade })
  const before = fields.getAll('X-Forwarded-For').join(', ')
  fields.delete('X-Forwarded-For')
  fields.append('X-Forwarded-For', before === '' ? userIp : `${before}, ${userIp}`)
  fields.set('X-Forwarded-Host', head.authority)
  fields.set('X-Forwarded-Proto', scheme)
  fields.delete('Host')
  fields.prepend('Host', message.host_header_rewrite === '' ? head.authority : message.host_header_rewrite)
  for (const [name, value] of Object.entries(message.headers)) fields.set(name, value)
}

/** Changes the fields of a response to what the user is sent. */
export function applyResponseRules(fields: Fields, upgrade: string | undefined, message: NewProxy): void {
  removeHopByHop(fields, { upgrade })
  for (const [name, value] of Object.entries(message.response_headers)) fields.set(name, value)
}

/** An answer of the relay's own; `error` says in the field `edgefrp-error` why, for whoever looks. */
export function ownAnswer(status: number, reason: string, body: string, ...pairs: [string, string][]): OwnAnswer {
  return { status, reason, body, fields: Fields.of(['Content-Type', 'text/html; charset=utf-8'], ...pairs) }
}

/** The page for a name that leads nowhere, like frp's. */
export const NOT_FOUND_PAGE = pageOf(
  'Not Found',
  'The page you requested was not found.',
  'Nothing is connected under this name at the moment, or it has no such path.',
  'The relay is working. If this name is yours, look at the log of your frp client.',
)

/** The page for a name whose service failed. */
export const NO_ANSWER_PAGE = pageOf(
  'No answer',
  'The service behind this name did not answer.',
  'The relay is working, and the name is known to it.',
  'If it is yours: does the service run where localIP and localPort point? The log of your frp client says why it failed.',
)

function pageOf(title: string, heading: string, ...paragraphs: string[]): string {
  return `<!DOCTYPE html>
<html>
<head>
<title>${title}</title>
<style>body { max-width: 35em; margin: 4em auto; font-family: sans-serif }</style>
</head>
<body>
<h1>${heading}</h1>
${paragraphs.map((text) => `<p>${text}</p>`).join('\n')}
</body>
</html>
`
}

function isEqual(crypto: Crypto, given: string, wanted: string): boolean {
  const encoder = new TextEncoder()
  // Digests have one length, so that the time does not tell the length of the right one.
  return crypto.timingSafeEqual(crypto.sha256(encoder.encode(given)), crypto.sha256(encoder.encode(wanted)))
}
