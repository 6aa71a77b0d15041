import { FrpError } from '../contract/errors.ts'
import { CALL_PLUGIN_MS, MAX_PLUGIN_REPLY_BYTES } from '../relay/limits.ts'
import type { CallPlugin } from '../relay/server-plugins.ts'

/**
 * Posts to a server plugin with the platform's fetch, which verifies certificates whatever tlsVerify says. `begin`
 * keeps the object awake until what it answers is called.
 */
export function pluginCaller(begin: () => () => void): CallPlugin {
  return async ({ url, body, requestId }) => {
    const done = begin()
    // Not AbortSignal.timeout: its timer stays when the answer is there, and keeps the object awake.
    const aborting = new AbortController()
    const late = setTimeout(() => aborting.abort(), CALL_PLUGIN_MS)
    try {
      const response = await fetch(url, {
        method: 'POST',
        body,
        headers: { 'Content-Type': 'application/json', 'X-Frp-Reqid': requestId },
        redirect: 'manual',
        signal: aborting.signal,
      })
      const text = await response.text()
      if (text.length > MAX_PLUGIN_REPLY_BYTES) {
        throw new FrpError('PLUGIN_REFUSED', `the reply has more than ${MAX_PLUGIN_REPLY_BYTES} characters`)
      }
      return { status: response.status, body: text }
    } finally {
      clearTimeout(late)
      // After whoever waits for the reply has acted on it: only then can it be written down.
      setTimeout(done, 0)
    }
  }
}
