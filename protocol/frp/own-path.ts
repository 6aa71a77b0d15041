/**
 * frp, pkg/util/net/websocket.go: the path of its WebSocket. All paths of the relay's own begin with it, on every host;
 * every other path belongs to tunnels.
 */
export const OWN_PATH = '/~!frp'

/** Whether a request target, with or without its query, is the relay's own. */
export function isOwnPath(target: string): boolean {
  if (!target.startsWith(OWN_PATH)) return false
  const next = target.charAt(OWN_PATH.length)
  return next === '' || next === '/' || next === '?'
}
