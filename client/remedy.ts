import { FrpError, messageOf } from '../contract/errors.ts'

/** What to look at, by Node's code of what lies below an error of ours. */
const BY_CAUSE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is the relay running, and are serverAddr and serverPort right?',
  ENOTFOUND: 'no such host name: look at serverAddr',
  EAI_AGAIN: 'the name cannot be looked up now: look at serverAddr, and at the DNS of this machine',
  ETIMEDOUT: 'nothing answers: a firewall, or another serverAddr or serverPort?',
  EHOSTUNREACH: 'no way to that address: is this machine on line, and serverAddr right?',
  ENETUNREACH: 'no way to that address: is this machine on line, and serverAddr right?',
  ERR_SSL_WRONG_VERSION_NUMBER:
    'what answers there speaks no TLS: serverPort must be the relay\'s own port; transport.protocol = "websocket" ' +
    'with transport.tls.enable = false goes without TLS',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'no public CA signed it: give its CA (transport.tls.trustedCaFile, or --ca)',
  SELF_SIGNED_CERT_IN_CHAIN: 'no public CA signed it: give its CA (transport.tls.trustedCaFile, or --ca)',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'no public CA signed it: give its CA (transport.tls.trustedCaFile, or --ca)',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate has another name: serverAddr, or transport.tls.serverName',
  CERT_HAS_EXPIRED: 'renew it at the relay; if it is new, look at the clock of this machine',
}

/** What to look at, by the code of an error and what its text begins with or holds. */
const BY_TEXT: readonly { code: string; holds: string; remedy: string }[] = [
  {
    code: 'LOGIN_REFUSED',
    holds: "doesn't match token from configuration",
    remedy: 'auth.token must be the same here and at the relay',
  },
  {
    code: 'TLS_FAILED',
    holds: 'closed',
    remedy:
      "the other end hung up when TLS began: serverPort must be the relay's own port (bindPort), not one for web pages",
  },
  { code: 'TLS_FAILED', holds: 'disconnected before secure', remedy: "serverPort must be the relay's own (bindPort)" },
  {
    code: 'WEBSOCKET_UPGRADE',
    holds: 'bad status 404',
    remedy: 'a web server without a relay: look at serverAddr and serverPort',
  },
  {
    code: 'WEBSOCKET_UPGRADE',
    holds: 'no HTTP answer',
    remedy: 'no relay, or one that wants TLS there: look at serverPort and transport.protocol ("wss" is with TLS)',
  },
  {
    code: 'WEBSOCKET_UPGRADE',
    holds: 'bad status 400',
    remedy: 'a port that wants TLS, or no relay: transport.protocol = "wss" goes with TLS',
  },
]

/** What to look at when the relay refuses a proxy, by what frp's texts end with. */
const BY_REFUSAL: readonly [text: string, remedy: string][] = [
  ['] already exists', 'another client has a proxy of this name: take another name, or set `user`'],
  ['port already used', 'another proxy or program has it: take another remotePort'],
  ['router config conflict', 'another proxy has this domain, with these locations'],
]

/** The relay's reason for refusing a proxy, with what to do about it in brackets where that is known. */
export function refusalWithRemedy(text: string): string {
  const remedy = BY_REFUSAL.find(([end]) => text.endsWith(end))?.[1]
  return remedy === undefined ? text : `${text} (${remedy})`
}

/** What a user may do about an error on the way to the relay; undefined: nothing that its text does not say. */
export function remedyOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const remedy = 'code' in at && typeof at.code === 'string' ? BY_CAUSE[at.code] : undefined
    if (remedy !== undefined) return remedy
  }
  if (!(error instanceof FrpError)) return undefined
  return BY_TEXT.find(({ code, holds }) => error.code === code && error.message.includes(holds))?.remedy
}

/** The text of an error, with what to do about it in brackets where that is known. */
export function messageWithRemedy(error: unknown): string {
  const remedy = remedyOf(error)
  return remedy === undefined ? messageOf(error) : `${messageOf(error)} (${remedy})`
}
