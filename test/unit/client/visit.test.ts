import { describe, expect, it } from 'vitest'
import { type VisitCall, visitPlan } from '../../../client/cli/visit.ts'
import { keepAliveTimes } from '../../../client/keep-alive-times.ts'
import { LocalPort } from '../../../client/visit/local-port.ts'
import { completeFrpc } from '../../../config/load.ts'
import { parseVisitServer } from '../../../config/visits.ts'
import { createLineLog } from '../../../node/log.ts'

const FILE = {
  serverAddr: 'file.example.com',
  serverPort: 7001,
  clientID: 'me',
  user: 'ann',
  auth: { token: 'of the file' },
  transport: { protocol: 'wss', poolCount: 5, tcpMux: false, tls: { serverName: 'other', trustedCaFile: 'ca.pem' } },
  proxies: [{ name: 'p', type: 'tcp', localPort: 22, remotePort: 2222 }],
  edgefrp: {
    stateFile: 'state',
    fallbackServers: [{ serverAddr: 'vps.example.com' }],
    visits: [{ name: 'v', port: 1, bindPort: 2 }],
  },
}

function plan(given: Record<string, unknown>, more: Partial<VisitCall> = {}): ReturnType<typeof visitPlan> {
  const call: VisitCall = {
    type: 'tcp',
    port: '2222',
    given: (name) => given[name],
    config: undefined,
    reading: { strict: true, allowUnsafe: [], edgefrp: undefined },
    ...more,
  }
  return visitPlan(call, () => completeFrpc(FILE))
}

describe('the server of a visit', () => {
  it.each([
    ['wss://relay.example.com', 'relay.example.com', 443, 'wss', true],
    ['https://relay.example.com/', 'relay.example.com', 443, 'wss', true],
    ['WSS://relay.example.com:8443', 'relay.example.com', 8443, 'wss', true],
    ['ws://127.0.0.1:8787', '127.0.0.1', 8787, 'websocket', false],
    ['ws://relay', 'relay', 80, 'websocket', false],
    ['tcp://host:7000', 'host', 7000, 'tcp', true],
    ['host:7001', 'host', 7001, 'tcp', true],
    ['host', 'host', 7000, 'tcp', true],
    ['[::1]:7000', '::1', 7000, 'tcp', true],
    ['ws://[2001:db8::1]', '2001:db8::1', 80, 'websocket', false],
  ] as const)('%s', (text, serverAddr, serverPort, protocol, tls) => {
    expect(parseVisitServer(text)).toEqual({ serverAddr, serverPort, protocol, tls })
  })

  it.each([
    'quic://host',
    'host:0',
    'host:65536',
    'host:',
    '',
    'wss://',
    'wss://host/path',
    'wss://user:password@host',
    '::1:7000',
    'a b',
  ])('refuses %j', (text) => {
    expect(() => parseVisitServer(text)).toThrow(/^server ".*": /)
  })
})

describe('the options of frpc visit', () => {
  const server = 'wss://relay.example.com'

  it('bind the same port on loopback unless told otherwise', () => {
    expect(plan({ server }).bind).toEqual({ address: '127.0.0.1', port: 2222 })
    expect(plan({ server, bind: '22' }).bind).toEqual({ address: '127.0.0.1', port: 22 })
    expect(plan({ server, bind: '0.0.0.0:22' }).bind).toEqual({ address: '0.0.0.0', port: 22 })
    expect(plan({ server, bind: '[::1]:22' }).bind).toEqual({ address: '::1', port: 22 })
    expect(plan({ server, stdio: true })).toMatchObject({ bind: undefined, logLevel: 'error' })
  })

  it('log in with a token or a file, and not with a visit key or nothing', () => {
    expect(plan({ server, token: 't' })).toMatchObject({ isLoggedIn: true, options: { auth: { token: 't' } } })
    expect(plan({ server, token: '' })).toMatchObject({ isLoggedIn: true, options: { auth: { token: '' } } })
    expect(plan({ server, visit_key: 'k' })).toMatchObject({ isLoggedIn: false, target: { visitKey: 'k' } })
    expect(plan({ server }).isLoggedIn).toBe(false)
    expect(plan({}, { config: 'frpc.toml' }).isLoggedIn).toBe(true)
    expect(plan({ visit_key: 'k' }, { config: 'frpc.toml' }).isLoggedIn).toBe(false)
  })

  it('verify the certificate of a URL, as a browser does', () => {
    expect(plan({ server }).options.edgefrp.tls.verify).toBe(true)
    expect(plan({ server, insecure: true }).options.edgefrp.tls.verify).toBe(false)
    expect(plan({ server: 'host:7000' }).options.edgefrp.tls.verify).toBe(false)
    expect(plan({ server: 'host', ca: 'ca.pem' }).options.transport.tls.trustedCaFile).toBe('ca.pem')
  })

  it('take server and login from a file, and nothing that is offered or taken over there', () => {
    const { options } = plan({}, { config: 'frpc.toml' })
    expect(options).toMatchObject({
      serverAddr: 'file.example.com',
      serverPort: 7001,
      user: 'ann',
      auth: { token: 'of the file' },
      transport: { protocol: 'wss', poolCount: 0, tcpMux: true, tls: { serverName: 'other' } },
      clientID: '',
      proxies: [],
      edgefrp: {
        stateFile: '',
        visits: [],
        fallbackServers: [{ serverAddr: 'vps.example.com', transport: { poolCount: 0, tcpMux: true } }],
      },
    })
  })

  it('put another server in the place of the file’s, without what belongs to that host', () => {
    const { options } = plan({ server: 'ws://other', token: 'mine' }, { config: 'frpc.toml' })
    expect(options).toMatchObject({
      serverAddr: 'other',
      serverPort: 80,
      auth: { token: 'mine' },
      transport: { protocol: 'websocket', tls: { enable: false, serverName: '', trustedCaFile: 'ca.pem' } },
      edgefrp: { fallbackServers: [] },
    })
  })

  it.each([
    [{}, {}, 'no relay: give --server, or -c with a frpc.toml'],
    [{ server, visit_key: 'k', token: 't' }, {}, 'give --token or --visit-key, not both'],
    [{ server, stdio: true, bind: '1' }, {}, 'give --bind or --stdio, not both'],
    [{ server, stdio: true }, { type: 'udp' }, '--stdio is for tcp: datagrams need a local port'],
    [{ server }, { type: 'http' }, 'the type must be tcp or udp, not http'],
    [{ server }, { port: '0' }, 'the port of the visit: 0 is no port in the range 1..65535'],
    [{ server }, { port: '22x' }, 'the port of the visit: 22x is no port in the range 1..65535'],
    [{ server, bind: '127.0.0.1:99999' }, {}, '--bind: 99999 is no port in the range 0..65535'],
    [{ server, bind: ':22' }, {}, '--bind: :22 is no port in the range 0..65535'],
    [{ server, log_level: 'loud' }, {}, '--log-level: loud is none of [trace debug info warn error]'],
    [{ server: 'kcp://x' }, {}, 'server "kcp://x": the scheme must be wss, ws or tcp, not kcp'],
  ] as const)('%j %j: %s', (given, more, message) => {
    expect(() => plan(given, more)).toThrow(message)
  })
})

describe('[[edgefrp.visits]]', () => {
  const visit = { name: 'v', port: 2222, bindPort: 22 }

  it('has defaults', () => {
    const { options, warnings } = completeFrpc({ edgefrp: { visits: [visit] } })
    expect(options.edgefrp.visits).toEqual([
      {
        name: 'v',
        type: 'tcp',
        port: 2222,
        bindAddr: '127.0.0.1',
        bindPort: 22,
        visitKey: '',
        server: '',
        token: '',
      },
    ])
    expect(warnings).toEqual([])
  })

  it.each([
    [{ ...visit, name: '' }, 'edgefrp.visits[0].name: name is required'],
    [{ ...visit, port: 0 }, 'edgefrp.visits[0].port: port is required'],
    [{ ...visit, bindPort: undefined }, 'edgefrp.visits[0].bindPort: bind port is required'],
    [{ ...visit, type: 'http' }, 'edgefrp.visits[0].type: unknown visit type: http, optional values are [tcp udp]'],
    [{ ...visit, port: 70_000 }, 'edgefrp.visits[0].port: port number 70000 must be in the range 0..65535'],
    [{ ...visit, nope: 1 }, 'json: unknown field "nope" in edgefrp.visits[0]'],
    [{ ...visit, server: 'kcp://x' }, 'edgefrp.visits[0].server: server "kcp://x": the scheme must be'],
    [{ ...visit, token: 't' }, 'edgefrp.visits[0].token: token goes with server'],
    [{ ...visit, server: 'x', token: 't', visitKey: 'k' }, 'edgefrp.visits[0].visitKey: cannot specify both'],
  ])('%j: %s', (one, message) => {
    expect(() => completeFrpc({ edgefrp: { visits: [one] } })).toThrow(message)
  })

  it('wants names that differ', () => {
    const twice = { edgefrp: { visits: [visit, visit] } }
    expect(() => completeFrpc(twice)).toThrow('edgefrp.visits[1].name: visit name [v] is duplicated')
  })
})

describe('yamux pings', () => {
  const { options } = completeFrpc({})

  it('leave a relay that sleeps asleep, unless the file says otherwise', () => {
    const asleep = new Set(['half-close', 'sleeps'])
    expect(keepAliveTimes(new Set(), options, '', asleep)).toBeUndefined()
    expect(keepAliveTimes(new Set(), options, '', new Set())).toEqual({ intervalMs: 10_000, timeoutMs: 5_000 })
    expect(keepAliveTimes(new Set(['transport.tcpMuxKeepaliveInterval']), options, '', asleep)).toEqual({
      intervalMs: 30_000,
      timeoutMs: 10_000,
    })
  })
})

describe('the local port of a visit', () => {
  it("is refused in frp's words when somebody has it", async () => {
    const log = createLineLog({ write: () => undefined, close: () => Promise.resolve() }, 'error', false)
    const holder = new LocalPort((socket) => socket.destroy(), log)
    const port = await holder.listen('127.0.0.1', 0)
    const message = `listen tcp 127.0.0.1:${port}: bind: address already in use`
    const second = new LocalPort((socket) => socket.destroy(), log)
    await expect(second.listen('127.0.0.1', port)).rejects.toMatchObject({ code: 'PORT_TAKEN', message })
    holder.close()
  })
})
