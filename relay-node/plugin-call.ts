import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { FrpError } from '../contract/errors.ts'
import { CALL_PLUGIN_MS, MAX_PLUGIN_REPLY_BYTES } from '../relay/limits.ts'
import type { CallPlugin, PluginReply } from '../relay/server-plugins.ts'

/** Posts to a server plugin over HTTP or HTTPS; connections are used again. Rejects with the reason in words. */
export const callPlugin: CallPlugin = ({ url, body, requestId, tlsVerify }) =>
  new Promise((resolve, reject) => {
    const isHttps = url.startsWith('https:')
    const options = {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
        'X-Frp-Reqid': requestId,
      },
      signal: AbortSignal.timeout(CALL_PLUGIN_MS),
    }
    const onResponse = (response: IncomingMessage): void => {
      readReply(response).then(resolve, reject)
    }
    const asking = isHttps
      ? requestHttps(url, { ...options, rejectUnauthorized: tlsVerify }, onResponse)
      : requestHttp(url, options, onResponse)
    asking.on('error', (error) => reject(reasonOf(error)))
    asking.end(body)
  })

async function readReply(response: IncomingMessage): Promise<PluginReply> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length
    if (length > MAX_PLUGIN_REPLY_BYTES) {
      throw new FrpError('PLUGIN_REFUSED', `the reply has more than ${MAX_PLUGIN_REPLY_BYTES} bytes`)
    }
    parts.push(part)
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(parts).toString('utf8') }
}

function reasonOf(error: Error): Error {
  if (error.name !== 'AbortError' && error.name !== 'TimeoutError') return error
  return new FrpError('TIMEOUT', `no reply within ${CALL_PLUGIN_MS / 1000} s`, { cause: error })
}
