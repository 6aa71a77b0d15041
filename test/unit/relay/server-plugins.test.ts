import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { decode, type Login, type NewProxy } from '../../../protocol/frp/messages.ts'
import { type PluginReply, type PluginRequest, ServerPlugins } from '../../../relay/server-plugins.ts'

const USER = { user: 'u', metas: {}, run_id: 'r' }

function messageOf<T>(type: 'NewProxy' | 'Login', fields: object): T {
  return decode(type, new TextEncoder().encode(JSON.stringify(fields))) as T // of the type that was asked for
}

/** Plugins `p0`, `p1`, …, one for each answer; `seen` gets what they were asked. */
function pluginsWith(ops: string[], ...replies: (object | string | number)[]) {
  const seen: (PluginRequest & { content: Record<string, unknown> })[] = []
  const lines: string[] = []
  const sink = { write: (line: string) => void lines.push(line), close: () => Promise.resolve() }
  const plugins = new ServerPlugins({
    runtime: nodeRuntime(createLineLog(sink, 'trace', false)),
    plugins: replies.map((_, i) => ({ name: `p${i}`, addr: `127.0.0.1:${i}`, path: '/h', ops, tlsVerify: false })),
    call: async (request): Promise<PluginReply> => {
      seen.push({ ...request, content: JSON.parse(request.body).content })
      const reply = replies[Number(/:(\d+)\//.exec(request.url)?.[1])] ?? ''
      if (typeof reply === 'number') return { status: reply, body: '' }
      return { status: 200, body: typeof reply === 'string' ? reply : JSON.stringify(reply) }
    },
  })
  return { plugins, seen, lines }
}

describe('server plugins', () => {
  it('are asked in the order of the file, each with what the one before has changed', async () => {
    const { plugins, seen } = pluginsWith(
      ['NewProxy'],
      { content: { proxy_name: 'b', remote_port: 1 } },
      { unchange: true, content: { proxy_name: 'ignored' } },
      { content: { proxy_name: 'c', remote_port: 2 } },
    )
    const asked = messageOf<NewProxy>('NewProxy', { proxy_name: 'a', proxy_type: 'tcp', remote_port: 9 })
    const message = await plugins.newProxy(USER, asked)
    expect(seen.map(({ content }) => content['proxy_name'])).toEqual(['a', 'b', 'b'])
    expect(seen[0]?.url).toBe('http://127.0.0.1:0/h?op=NewProxy&version=0.1.0')
    expect(seen[0]?.content).toMatchObject({ user: { user: 'u', metas: {}, run_id: 'r' }, remote_port: 9 })
    expect(new Set(seen.map(({ requestId }) => requestId)).size).toBe(1)
    expect(message).toMatchObject({ type: 'NewProxy', proxy_name: 'c', proxy_type: '', remote_port: 2 })
  })

  it('make everything zero with a reply that neither says unchange nor brings content, as in frp', async () => {
    const { plugins } = pluginsWith(['NewProxy'], {})
    const message = await plugins.newProxy(USER, messageOf<NewProxy>('NewProxy', { proxy_name: 'a', remote_port: 9 }))
    expect(message).toMatchObject({ proxy_name: '', remote_port: 0 })
  })

  it('refuse with their reason, and then the next one is not asked', async () => {
    const { plugins, seen } = pluginsWith(['Ping'], { reject: true, reject_reason: 'not today' }, { unchange: true })
    const ping = { type: 'Ping', privilege_key: '', timestamp: 0 } as const
    await expect(plugins.ping(USER, ping)).rejects.toMatchObject({ code: 'PLUGIN_REFUSED', message: 'not today' })
    expect(seen).toHaveLength(1)
  })

  it.each([
    ['another status', 500, 'do http request error code: 500'],
    ['no JSON', '<html>', 'the reply is no JSON'],
    ['no object', '[]', 'the reply is no JSON object'],
    ['a string for a boolean', { unchange: 'false' }, 'unchange in the reply is no boolean'],
    ['a reason that is no string', { reject: true, reject_reason: 3 }, 'reject_reason in the reply is no string'],
    ['content of a wrong type', { content: { remote_port: 'x' } }, 'remote_port'],
  ])('fail the operation for %s, and the log says why', async (_name, reply, why) => {
    const { plugins, lines } = pluginsWith(['NewProxy'], reply)
    const asked = plugins.newProxy(USER, messageOf<NewProxy>('NewProxy', { proxy_name: 'a' }))
    await expect(asked).rejects.toThrow('send NewProxy request to plugin error')
    expect(lines.join('')).toMatch(/\[W\] \[reqid: [0-9a-f]{16}\] send NewProxy request to plugin \[p0\] error: /)
    expect(lines.join('')).toContain(why)
  })

  it('see a login with the address it came from, without our own key, which the answer keeps', async () => {
    const { plugins, seen } = pluginsWith(['Login'], { content: { user: 'other', client_address: 'x' } })
    const login = messageOf<Login>('Login', { user: 'me', edgefrp: { v: 1, features: ['half-close'] } })
    const changed = await plugins.login(login, '192.0.2.1:5')
    expect(seen[0]?.content).toMatchObject({ user: 'me', client_address: '192.0.2.1:5' })
    expect(seen[0]?.content).not.toHaveProperty('edgefrp')
    expect(changed).toMatchObject({ user: 'other', edgefrp: { features: ['half-close'] } })
  })

  it('keep every field of a message that they send back as it came', async () => {
    const text = fc.string({ maxLength: 30, unit: 'binary' })
    const fields = fc.record({
      proxy_name: text,
      proxy_type: text,
      use_encryption: fc.boolean(),
      remote_port: fc.integer(),
      custom_domains: fc.array(text, { maxLength: 3 }),
      metas: fc.dictionary(text, text, { maxKeys: 3 }),
      sk: text,
    })
    const runtime = nodeRuntime()
    await fc.assert(
      fc.asyncProperty(fields, async (given) => {
        const message = messageOf<NewProxy>('NewProxy', given)
        const echo = new ServerPlugins({
          runtime,
          plugins: [{ name: 'echo', addr: 'x', path: '/', ops: ['NewProxy'], tlsVerify: false }],
          call: async ({ body }) => ({ status: 200, body: JSON.stringify({ content: JSON.parse(body).content }) }),
        })
        expect(await echo.newProxy(USER, message)).toEqual(message)
      }),
      { numRuns: 30 },
    )
  })
})
