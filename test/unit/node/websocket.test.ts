import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../contract/errors.ts'
import { portableWebsocket } from '../../../node/websocket.ts'
import { Probe } from '../../contract/probe.ts'
import { connectedSockets } from '../../contract/sockets.ts'

/** Masked with zeros: a binary frame that says it has `length` bytes, below 64 KiB times 2^16. */
function header(length: number): Uint8Array {
  return new Uint8Array([
    0x82,
    0xff,
    0,
    0,
    0,
    0,
    length >>> 24,
    (length >>> 16) & 255,
    (length >>> 8) & 255,
    length & 255,
    0,
    0,
    0,
    0,
  ])
}

describe('the portable WebSocket link', () => {
  it('refuses at the header what is above its limit, which may be raised', async () => {
    for (const isRaised of [false, true]) {
      const [a, b, close] = await connectedSockets()
      const link = portableWebsocket(b, { role: 'server', isOwnPeer: false })
      if (isRaised) link.maxMessageBytes = 1 << 20
      const probe = new Probe(link)
      a.write(header(100_000))
      if (isRaised) {
        a.write(new Uint8Array(100_000))
        await probe.until(() => probe.bytesRead === 100_000)
      } else {
        await probe.until(() => probe.closes === 1)
        expect(codeOf(probe.closeError)).toBe('WEBSOCKET_TOO_LARGE')
      }
      link.destroy()
      a.destroy()
      close()
    }
  })
})
