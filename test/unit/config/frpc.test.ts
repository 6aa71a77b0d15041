import { describe, expect, it } from 'vitest'
import { completeFrpc, completeProxy, completeVisitor, loadFrpc } from '../../../config/load.ts'
import { bandwidthBytes } from '../../../contract/bandwidth.ts'
import { failure, source } from './loading.ts'

const toml = (text: string) => loadFrpc(source(text, 'frpc.toml'))
const linesOf = (text: string) => failure(() => toml(text)).lines
const proxyLines = (text: string) => linesOf(`[[proxies]]\nname = "p"\n${text}`)
const visitorLines = (text: string) => linesOf(`[[visitors]]\n${text}`)

describe('frpc options', () => {
  it('have frp defaults when the file is empty', () => {
    const { options, warnings } = toml('')
    expect(warnings).toEqual([])
    expect(options).toMatchObject({
      clientID: '',
      user: '',
      serverAddr: '0.0.0.0',
      serverPort: 7000,
      natHoleStunServer: 'stun.easyvoip.com:3478',
      dnsServer: '',
      loginFailExit: true,
      start: [],
      udpPacketSize: 1500,
      metadatas: {},
      includes: [],
      store: { path: '' },
      proxies: [],
      visitors: [],
      transport: {
        protocol: 'tcp',
        wireProtocol: 'v1',
        dialServerTimeout: 10,
        dialServerKeepalive: 7200,
        connectServerLocalIP: '',
        proxyURL: '',
        poolCount: 1,
        tcpMux: true,
        tcpMuxKeepaliveInterval: 30,
        heartbeatInterval: -1,
        heartbeatTimeout: -1,
        tls: { enable: true, disableCustomTLSFirstByte: true, serverName: '' },
      },
      edgefrp: {
        fallbackServers: [],
        fallbackCheckSeconds: 30,
        stateFile: '',
        tls: { verify: false },
        visits: [],
        proxies: [],
      },
    })
  })

  it('derive heartbeats from tcpMux, take the proxy from the environment, and poolCount is never 0', () => {
    const text = 'transport.tcpMux = false\ntransport.poolCount = 0'
    const { transport } = loadFrpc(source(text, 'frpc.toml', { envs: { http_proxy: 'http://p:1' } })).options
    expect(transport).toMatchObject({
      heartbeatInterval: 30,
      heartbeatTimeout: 90,
      poolCount: 1,
      proxyURL: 'http://p:1',
    })
  })

  it('keep the case of names in maps, and a map key __proto__ is a key', () => {
    const { options } = toml('[metadatas]\nFooBar = "1"\n__proto__ = "2"')
    expect(Object.entries(options.metadatas)).toEqual([
      ['FooBar', '1'],
      ['__proto__', '2'],
    ])
    expect('2' in {}).toBe(false)
  })

  it.each([
    ['serverPort = 70000', 'frpc.toml:1: serverPort: port number 70000 must be in the range 0..65535'],
    [
      'transport.protocol = "carrier-pigeon"',
      'frpc.toml:1: transport.protocol: invalid transport.protocol, optional values are [tcp kcp quic websocket wss]',
    ],
    [
      'transport.wireProtocol = "v3"',
      'frpc.toml:1: transport.wireProtocol: invalid transport.wireProtocol, optional values are [v1 v2]',
    ],
    [
      'transport.heartbeatInterval = 30\ntransport.heartbeatTimeout = 20',
      'frpc.toml:2: transport.heartbeatTimeout: invalid transport.heartbeatTimeout, heartbeat timeout should not less than heartbeat interval',
    ],
    ['featureGates.Magic = true', 'frpc.toml:1: featureGates.Magic: unrecognized feature gate: Magic'],
    [
      'virtualNet.address = "10.0.0.1/24"',
      'frpc.toml:1: virtualNet.address: VirtualNet feature is not enabled; enable it by setting the appropriate feature gate flag',
    ],
    ['auth.method = "oidc"\nauth.oidc.tokenEndpointURL = "https://i/t"', 'frpc.toml:2: auth.oidc.clientID is required'],
    ['auth.method = "oidc"\nauth.oidc.clientID = "a"', 'frpc.toml:2: auth.oidc.tokenEndpointURL is required'],
    [
      'auth.method = "oidc"\nauth.oidc = { clientID = "a", tokenEndpointURL = "i/t" }'.replace(
        'auth.method = "oidc"\nauth.oidc',
        '[auth]\nmethod = "oidc"\noidc',
      ),
      'frpc.toml:3: auth.oidc.tokenEndpointURL must be an absolute http or https URL',
    ],
    [
      'edgefrp.fallbackServers = [{}]',
      'frpc.toml:1: edgefrp.fallbackServers[0].serverAddr: serverAddr should not be empty',
    ],
  ])('%j is told as %j', (text, line) => {
    expect(failure(() => toml(text))).toEqual({ code: 'CONFIG_FIELD', lines: [line] })
  })

  it('warn of certificates without TLS', () => {
    expect(toml('transport.tls = { enable = false, certFile = "c" }').warnings).toEqual([
      'frpc.toml: transport.tls.certFile is invalid when transport.tls.enable is false',
    ])
  })
})

describe('fallback servers', () => {
  it('inherit what they do not say, but not the TLS name of the other host', () => {
    const { options } = toml(`
serverAddr = "relay.example.com"
serverPort = 443
auth.token = "t"
transport.protocol = "wss"
transport.tls = { serverName = "relay.example.com", trustedCaFile = "ca.pem" }
[[edgefrp.fallbackServers]]
serverAddr = "vps.example.com"
Transport.Protocol = "tcp"
[[edgefrp.fallbackServers]]
serverAddr = "third.example.com"
serverPort = 444
auth.token = "other"`)
    expect(options.edgefrp.fallbackServers).toMatchObject([
      {
        serverAddr: 'vps.example.com',
        serverPort: 7000,
        auth: { token: 't' },
        transport: { protocol: 'tcp', heartbeatInterval: -1, tls: { serverName: '', trustedCaFile: 'ca.pem' } },
      },
      { serverAddr: 'third.example.com', serverPort: 444, auth: { token: 'other' }, transport: { protocol: 'wss' } },
    ])
    expect(options.transport.tls.serverName).toBe('relay.example.com')
  })

  it('tell a fault once, where it is', () => {
    expect(
      linesOf('transport.poolCount = "x"\n[[edgefrp.fallbackServers]]\nserverAddr = "a"\nserverPort = 70000'),
    ).toEqual([
      'frpc.toml:1: field "transport.poolCount": cannot unmarshal string into int',
      'frpc.toml:4: edgefrp.fallbackServers[0].serverPort: port number 70000 must be in the range 0..65535',
    ])
  })
})

describe('proxies', () => {
  it('have their defaults and their type', () => {
    const proxy = completeProxy({ name: 'a', type: 'tcp', localPort: 22 })
    expect(proxy).toEqual({
      type: 'tcp',
      name: 'a',
      enabled: true,
      annotations: {},
      metadatas: {},
      localIP: '127.0.0.1',
      localPort: 22,
      plugin: undefined,
      transport: {
        useEncryption: false,
        useCompression: false,
        bandwidthLimit: '',
        bandwidthLimitMode: 'client',
        proxyProtocolVersion: '',
      },
      loadBalancer: { group: '', groupKey: '' },
      healthCheck: { type: '', timeoutSeconds: 3, maxFailed: 1, intervalSeconds: 10, path: '', httpHeaders: [] },
      edgefrp: { allowIPs: [], denyIPs: [] },
      remotePort: 0,
    })
  })

  it.each([
    ['tcp', { remotePort: 1 }],
    ['udp', { remotePort: 1 }],
    [
      'http',
      {
        customDomains: ['a'],
        subdomain: 's',
        locations: ['/'],
        httpUser: 'u',
        httpPassword: 'p',
        hostHeaderRewrite: 'h',
        requestHeaders: { set: { 'X-A': '1' } },
        responseHeaders: { set: { 'X-B': '2' } },
        routeByHTTPUser: 'r',
      },
    ],
    ['https', { customDomains: ['a'], subdomain: 's' }],
    [
      'tcpmux',
      { customDomains: ['a'], multiplexer: 'httpconnect', httpUser: 'u', httpPassword: 'p', routeByHTTPUser: 'r' },
    ],
    ['stcp', { secretKey: 's', allowUsers: ['*'] }],
    ['sudp', { secretKey: 's', allowUsers: ['*'] }],
    ['xtcp', { secretKey: 's', allowUsers: ['*'], natTraversal: { disableAssistedAddrs: true } }],
  ])('of type %s keep every key of theirs', (type, keys) => {
    expect(completeProxy({ name: 'a', type, ...keys })).toMatchObject({ type, ...keys })
  })

  it.each([
    ['type = "ftp"', 'frpc.toml:3: proxies[0].type: unknown proxy type: ftp'],
    ['localPort = 1', 'frpc.toml:1: proxies[0].type: unknown proxy type: '],
    ['type = "tcp"\nsubdomain = "x"', 'frpc.toml:4: json: unknown field "subdomain" in proxies[0]'],
    [
      'type = "tcp"\nremotePort = 70000',
      'frpc.toml:4: proxies[0].remotePort: port number 70000 must be in the range 0..65535',
    ],
    ['type = "tcp"\nlocalPort = -1', 'frpc.toml:4: proxies[0].localPort: port number -1 must be in the range 0..65535'],
    ['type = "http"', 'frpc.toml:1: proxies[0]: subdomain and custom domains should not be both empty'],
    ['type = "https"', 'frpc.toml:1: proxies[0]: subdomain and custom domains should not be both empty'],
    [
      'type = "tcpmux"\nsubdomain = "x"\nmultiplexer = "magic"',
      'frpc.toml:5: proxies[0].multiplexer: not support multiplexer: magic',
    ],
    [
      'type = "tcp"\nhealthCheck.type = "http"',
      'frpc.toml:4: proxies[0].healthCheck.path: health check path should not be empty',
    ],
    [
      'type = "tcp"\nhealthCheck.type = "udp"',
      'frpc.toml:4: proxies[0].healthCheck.type: not support health check type: udp',
    ],
    [
      'type = "tcp"\ntransport.bandwidthLimit = "1GB"',
      'frpc.toml:4: proxies[0].transport.bandwidthLimit: unit not support',
    ],
    [
      'type = "tcp"\ntransport.bandwidthLimit = "xMB"',
      'frpc.toml:4: proxies[0].transport.bandwidthLimit: strconv.ParseFloat: parsing "x": invalid syntax',
    ],
    [
      'type = "tcp"\ntransport.bandwidthLimitMode = "both"',
      'frpc.toml:4: proxies[0].transport.bandwidthLimitMode: bandwidth limit mode should be client or server',
    ],
    [
      'type = "tcp"\ntransport.proxyProtocolVersion = "v3"',
      'frpc.toml:4: proxies[0].transport.proxyProtocolVersion: not support proxy protocol version: v3',
    ],
    [
      'type = "tcp"\nannotations = { "a b" = "x" }',
      "frpc.toml:4: proxies[0].annotations.a b: annotation key a b is invalid: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    ],
    ['type = "tcp"\nplugin.httpUser = "u"', 'frpc.toml:4: proxies[0].plugin: plugin type is empty'],
    ['type = "tcp"\nplugin.type = "magic"', 'frpc.toml:4: proxies[0].plugin.type: unknown plugin type: magic'],
    [
      'type = "tcp"\nplugin.type = "static_file"',
      'frpc.toml:4: proxies[0].plugin.localPath: plugin static_file: localPath is required',
    ],
    [
      'type = "tcp"\nplugin.type = "unix_domain_socket"',
      'frpc.toml:4: proxies[0].plugin.unixPath: plugin unix_domain_socket: unixPath is required',
    ],
    [
      'type = "tcp"\nplugin = { type = "socks5", user = "u" }',
      'frpc.toml:4: json: unknown field "user" in proxies[0].plugin',
    ],
  ])('%j are told as %j', (text, line) => {
    expect(proxyLines(text)).toEqual([line])
  })

  it('need a name, and not the same one twice', () => {
    expect(linesOf('[[proxies]]\ntype = "tcp"')).toEqual(['frpc.toml:1: proxies[0].name: name should not be empty'])
    const one = '[[proxies]]\nname = "a"\ntype = "tcp"\n'
    expect(linesOf(one + one)).toEqual(['frpc.toml:5: proxies[1].name: proxy name [a] is duplicated'])
  })

  it('that are off or not in start are not checked and not there', () => {
    const { options } = toml(`start = ["b", "c"]
proxies = [
  { name = "a", type = "http" },
  { name = "b", type = "tcp" },
  { name = "c", type = "http", enabled = false },
]`)
    expect(options.proxies.map((proxy) => proxy.name)).toEqual(['b'])
  })

  it.each([
    ['http2https', 'localAddr'],
    ['https2http', 'localAddr'],
    ['https2https', 'localAddr'],
    ['tls2raw', 'localAddr'],
  ])('plugin %s needs %s, and http2http does not', (type, key) => {
    const run = (plugin: object) => completeProxy({ name: 'a', type: 'tcp', plugin })
    expect(failure(() => run({ type })).lines).toEqual([`plugin.${key}: plugin ${type}: ${key} is required`])
    expect(run({ type, [key]: 'x' }).plugin).toMatchObject({ type, [key]: 'x' })
    expect(run({ type: 'http2http' }).plugin).toMatchObject({ localAddr: '', requestHeaders: { set: {} } })
  })

  it('read bandwidths as frp does', () => {
    expect(['1MB', ' 1.5KB ', '.5MB', '', '3'].map(bandwidthBytes)).toEqual([
      1_048_576,
      1536,
      524_288,
      undefined,
      undefined,
    ])
  })
})

describe('visitors', () => {
  it('have their defaults', () => {
    expect(completeVisitor({ name: 'v', type: 'xtcp', serverName: 's', bindPort: -1 })).toMatchObject({
      type: 'xtcp',
      bindAddr: '127.0.0.1',
      bindPort: -1,
      serverUser: '',
      secretKey: '',
      protocol: 'quic',
      keepTunnelOpen: false,
      maxRetriesAnHour: 8,
      minRetryInterval: 90,
      fallbackTo: '',
      fallbackTimeoutMs: 1000,
      natTraversal: { disableAssistedAddrs: false },
    })
  })

  it('are told all that they lack', () => {
    expect(visitorLines('type = "stcp"')).toEqual([
      'frpc.toml:1: visitors[0].name: name is required',
      'frpc.toml:1: visitors[0].serverName: server name is required',
      'frpc.toml:1: visitors[0].bindPort: bind port is required',
    ])
    expect(visitorLines('type = "tcp"')).toEqual(['frpc.toml:2: visitors[0].type: unknown visitor type: tcp'])
    expect(visitorLines('type = "xtcp"\nprotocol = "tcp"')).toEqual([
      'frpc.toml:3: visitors[0].protocol: protocol should be kcp or quic',
    ])
    expect(visitorLines('type = "stcp"\nbindPort = 70000')).toEqual([
      'frpc.toml:3: visitors[0].bindPort: port number 70000 must be in the range 0..65535',
    ])
  })
})

describe('includes', () => {
  const main = 'serverAddr = "s"\nincludes = ["./more/*.toml"]\n[[proxies]]\nname = "a"\ntype = "tcp"'
  const load = (text: string) =>
    loadFrpc(source(main, 'frpc.toml', { readInclude: () => [{ fileName: 'more/x.toml', text }] }))

  it('add proxies and visitors, and drop other keys', () => {
    const { options } = load('serverAddr = "other"\n[[proxies]]\nname = "b"\ntype = "udp"')
    expect(options.serverAddr).toBe('s')
    expect(options.proxies.map((proxy) => [proxy.name, proxy.type])).toEqual([
      ['a', 'tcp'],
      ['b', 'udp'],
    ])
  })

  it.each([
    ['[[proxies]]\nname = "a"\ntype = "tcp"', 'more/x.toml:2: proxies[0].name: proxy name [a] is duplicated'],
    [
      '[[proxies]]\nname = "b"\ntype = "http"',
      'more/x.toml:1: proxies[0]: subdomain and custom domains should not be both empty',
    ],
    ['nope = 1', 'more/x.toml:1: json: unknown field "nope"'],
    ['nope = 1\n[[proxies]]\nname = "b"\ntype = "tcp"', 'more/x.toml:1: json: unknown field "nope"'],
  ])('tell %j with their own file', (text, line) => {
    expect(failure(() => load(text)).lines).toEqual([line])
  })

  it('cannot be where no files can be read', () => {
    expect(linesOf(main)).toEqual(['frpc.toml: includes: ./more/*.toml cannot be read here'])
  })
})

describe('what a client has not yet', () => {
  it('is accepted with a line each', () => {
    const { warnings } = completeFrpc({
      transport: { protocol: 'quic' },
      webServer: { port: 7400 },
      visitors: [{ name: 'v', type: 'stcp', serverName: 's', bindPort: 1, plugin: { type: 'virtual_net' } }],
      proxies: [{ name: 'p', type: 'tcp', plugin: { type: 'virtual_net' } }],
    })
    expect(warnings).toHaveLength(3)
    for (const line of warnings) expect(line).toContain('not built')
  })
})
