import { describe, expect, it } from 'vitest'
import { completeFrps, loadFrps } from '../../../config/load.ts'
import { failure, source } from './loading.ts'

const toml = (text: string) => loadFrps(source(text, 'frps.toml'))
const linesOf = (text: string) => failure(() => toml(text)).lines

describe('frps options', () => {
  it('have frp defaults when the file is empty', () => {
    const { options, warnings } = toml('')
    expect(warnings).toEqual([])
    expect(options).toMatchObject({
      bindAddr: '0.0.0.0',
      bindPort: 7000,
      kcpBindPort: 0,
      quicBindPort: 0,
      proxyBindAddr: '0.0.0.0',
      vhostHTTPPort: 0,
      vhostHTTPTimeout: 60,
      vhostHTTPSPort: 0,
      tcpmuxHTTPConnectPort: 0,
      tcpmuxPassthrough: false,
      subDomainHost: '',
      custom404Page: '',
      enablePrometheus: false,
      detailedErrorsToClient: true,
      maxPortsPerClient: 0,
      userConnTimeout: 10,
      udpPacketSize: 1500,
      natholeAnalysisDataReserveHours: 168,
      allowPorts: [],
      httpPlugins: [],
      auth: {
        method: 'token',
        additionalScopes: [],
        token: '',
        tokenSource: undefined,
        oidc: { issuer: '', audience: '', skipExpiryCheck: false, skipIssuerCheck: false },
      },
      transport: {
        tcpMux: true,
        tcpMuxKeepaliveInterval: 30,
        tcpKeepalive: 7200,
        maxPoolCount: 5,
        heartbeatTimeout: -1,
        quic: { keepalivePeriod: 10, maxIdleTimeout: 30, maxIncomingStreams: 100_000 },
        tls: { force: false, certFile: '', keyFile: '', trustedCaFile: '', serverName: '' },
      },
      webServer: { addr: '127.0.0.1', port: 0, user: '', password: '', assetsDir: '', pprofEnable: false },
      log: { to: 'console', level: 'info', maxDays: 3, disablePrintColor: false },
      sshTunnelGateway: {
        bindPort: 0,
        privateKeyFile: '',
        autoGenPrivateKeyPath: './.autogen_ssh_key',
        authorizedKeysFile: '',
      },
    })
  })

  it('have our limits from the threat model', () => {
    expect(toml('').options.edgefrp).toMatchObject({
      limits: {
        handshakeTimeoutSeconds: 10,
        maxStreamsPerClient: 16_384,
        sessionMemoryBytes: 67_108_864,
        maxProxiesPerClient: 10_000,
        failedLoginsBurst: 20,
        loginsPerSecond: 200,
        httpHeadBytes: 65_536,
        httpFields: 200,
      },
      auth: { maxClockSkew: 0 },
      trustedProxies: [],
      hubs: [],
      users: [],
      allowWildcard: true,
    })
  })

  it.each([
    ['bindPort = 0', 'bindPort', 7000],
    ['vhostHTTPTimeout = 0', 'vhostHTTPTimeout', 60],
    ['userConnTimeout = 0', 'userConnTimeout', 10],
    ['bindAddr = ""', 'bindAddr', '0.0.0.0'],
    ['bindAddr = "::"', 'proxyBindAddr', '::'],
    ['bindAddr = "::"\nproxyBindAddr = "10.0.0.1"', 'proxyBindAddr', '10.0.0.1'],
    ['detailedErrorsToClient = false', 'detailedErrorsToClient', false],
  ] as const)('%s gives %s %s', (text, key, value) => {
    expect(toml(text).options[key]).toBe(value)
  })

  it('derive the heartbeat timeout from tcpMux and obey a given one', () => {
    const timeout = (text: string) => toml(text).options.transport.heartbeatTimeout
    expect(timeout('transport.tcpMux = true')).toBe(-1)
    expect(timeout('transport.tcpMux = false')).toBe(90)
    expect(timeout('transport.tcpMux = false\ntransport.heartbeatTimeout = -5')).toBe(-5)
    expect(timeout('transport.heartbeatTimeout = 33')).toBe(33)
  })

  it('force TLS when there is a CA for clients', () => {
    expect(toml('transport.tls.trustedCaFile = "ca.pem"').options.transport.tls.force).toBe(true)
  })

  it('know which keys the file sets, in the spelling of the table', () => {
    const { given } = toml('BINDPORT = 7000\ntransport.heartbeattimeout = 0\ntransport.tcpMux = false').options
    expect([...given]).toEqual(['bindPort', 'transport.tcpMux'])
  })

  it('match keys without case', () => {
    const { options } = toml('bindport = 1\nVHOSTHTTPPORT = 2\n[Auth]\nTOKEN = "t"')
    expect([options.bindPort, options.vhostHTTPPort, options.auth.token]).toEqual([1, 2, 't'])
  })

  it('take hubs and ports', () => {
    const text = `
allowPorts = [{ start = 1, end = 9 }, { single = 11 }]
[edgefrp]
hubs = [{ name = "t1", hosts = ["t1.example.com", "*.t1.example.com"], config = "FRPS_CONFIG_T1" }]
limits.maxProxiesPerClient = 3
trustedProxies = ["10.0.0.0/8"]`
    const { options } = toml(text)
    expect(options.allowPorts).toEqual([
      { start: 1, end: 9, single: 0 },
      { start: 0, end: 0, single: 11 },
    ])
    expect(options.edgefrp.hubs).toEqual([
      { name: 't1', hosts: ['t1.example.com', '*.t1.example.com'], config: 'FRPS_CONFIG_T1' },
    ])
    expect(options.edgefrp.limits.maxProxiesPerClient).toBe(3)
    expect(options.edgefrp.trustedProxies).toEqual(['10.0.0.0/8'])
  })
})

describe('what is wrong in frps.toml', () => {
  it.each([
    ['bindPort = 70000', 'frps.toml:1: bindPort: port number 70000 must be in the range 0..65535'],
    ['\nkcpBindPort = -1', 'frps.toml:2: kcpBindPort: port number -1 must be in the range 0..65535'],
    ['[webServer]\nport = 65536', 'frps.toml:2: webServer.port: port number 65536 must be in the range 0..65535'],
    ['nonsense = 1', 'frps.toml:1: json: unknown field "nonsense"'],
    ['[auth]\ntokn = "x"', 'frps.toml:2: json: unknown field "tokn" in auth'],
    ['auth.token = 12345678', 'frps.toml:1: field "auth.token": cannot unmarshal number into string'],
    ['bindPort = "7000"', 'frps.toml:1: field "bindPort": cannot unmarshal string into int'],
    ['bindPort = 1.5', 'frps.toml:1: field "bindPort": cannot unmarshal number 1.5 into int'],
    ['transport.tcpMux = 1', 'frps.toml:1: field "transport.tcpMux": cannot unmarshal number into bool'],
    [
      'auth.additionalScopes = "x"',
      'frps.toml:1: field "auth.additionalScopes": cannot unmarshal string into []string',
    ],
    ['auth = []', 'frps.toml:1: field "auth": cannot unmarshal array into table'],
    ['auth.method = "magic"', 'frps.toml:1: auth.method: invalid auth method, optional values are [token oidc]'],
    [
      'auth.additionalScopes = ["heartbeats"]',
      'frps.toml:1: auth.additionalScopes: invalid auth additional scopes, optional values are [HeartBeats NewWorkConns]',
    ],
    [
      'log.level = "loud"',
      'frps.toml:1: log.level: invalid log level, optional values are [trace debug info warn error]',
    ],
    [
      '[webServer.tls]\nkeyFile = "k"',
      'frps.toml:1: webServer.tls.certFile: tls.certFile must be specified when tls is enabled',
    ],
    [
      '[webServer.tls]\ncertFile = "c"',
      'frps.toml:1: webServer.tls.keyFile: tls.keyFile must be specified when tls is enabled',
    ],
    [
      '[[httpPlugins]]\nname = "a"\nops = ["Login"]\n[[httpPlugins]]\nops = ["login"]',
      'frps.toml:5: httpPlugins[1].ops: invalid http plugin ops, optional values are [Login NewProxy CloseProxy Ping NewWorkConn NewUserConn]',
    ],
    [
      'auth.token = "t"\n[auth.tokenSource]\ntype = "file"\nfile.path = "p"',
      'frps.toml:2: auth.tokenSource: cannot specify both auth.token and auth.tokenSource',
    ],
    [
      '[auth.tokenSource]\ntype = "http"',
      "frps.toml:1: auth.tokenSource: invalid auth.tokenSource: unsupported value source type: http (only 'file' and 'exec' are supported)",
    ],
    [
      '[auth.tokenSource]\ntype = "file"',
      "frps.toml:1: auth.tokenSource: invalid auth.tokenSource: file configuration is required when type is 'file'",
    ],
    [
      '[auth.tokenSource]\ntype = "exec"\nexec.command = "c"',
      'frps.toml:1: auth.tokenSource: unsafe feature "TokenSourceExec" is not enabled. To enable it, ensure it is allowed in the configuration or command line flags',
    ],
    ['allowPorts = [{ start = 9, end = 1 }]', 'frps.toml:1: allowPorts[0]: range number is invalid: 9-1'],
    ['edgefrp.limits.maxProxies = 1', 'frps.toml:1: json: unknown field "maxProxies" in edgefrp.limits'],
    [
      'edgefrp.limits.handshakeTimeoutSeconds = 0',
      'frps.toml:1: edgefrp.limits.handshakeTimeoutSeconds: 0 must be in the range 1..600',
    ],
  ])('%j is told as %j', (text, line) => {
    expect(failure(() => toml(text))).toEqual({ code: 'CONFIG_FIELD', lines: [line] })
  })

  it('is told all at once, in the order of the lines', () => {
    expect(linesOf('[log]\nlevel = 3\n[auth]\nmethod = "x"\nnope = 1\n[transport]\nmaxPoolCount = "5"')).toEqual([
      'frps.toml:2: field "log.level": cannot unmarshal number into string',
      'frps.toml:4: auth.method: invalid auth method, optional values are [token oidc]',
      'frps.toml:5: json: unknown field "nope" in auth',
      'frps.toml:7: field "transport.maxPoolCount": cannot unmarshal string into int64',
    ])
  })

  it('is no unknown key when strict is off', () => {
    const { options } = loadFrps(source('nonsense = 1\nauth.tokn = "x"\nbindPort = 1', 'frps.toml', { strict: false }))
    expect(options.bindPort).toBe(1)
  })

  it('leaves exec alone where it is allowed', () => {
    const text = '[auth.tokenSource]\ntype = "exec"\nexec = { command = "c", env = [{ name = "A", value = "b" }] }'
    const { options } = loadFrps(source(text, 'frps.toml', { allowUnsafe: ['TokenSourceExec'] }))
    expect(options.auth.tokenSource?.exec).toEqual({ command: 'c', args: [], env: [{ name: 'A', value: 'b' }] })
  })

  it('from flags has no file and no line', () => {
    expect(failure(() => completeFrps({ bindPort: 70_000 })).lines).toEqual([
      'bindPort: port number 70000 must be in the range 0..65535',
    ])
  })
})

describe('what a relay has not yet', () => {
  it.each([
    ['kcpBindPort = 1', 'kcpBindPort'],
    ['quicBindPort = 1', 'quicBindPort'],
  ])('%j is accepted with one line that names it', (text, name) => {
    const { warnings } = toml(text)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain(name)
    expect(warnings[0]).toMatch(/^frps\.toml: .*not built/)
  })
})

describe('edgefrp.users', () => {
  const users = (text: string) => toml(`edgefrp.users = [${text}]`)

  it('have defaults that allow everything', () => {
    expect(users('{ name = "a", token = "t" }').options.edgefrp.users).toEqual([
      {
        name: 'a',
        token: 't',
        allowProxies: [],
        allowDomains: [],
        allowPorts: [],
        maxProxies: 0,
        bandwidthLimit: '',
      },
    ])
  })

  it.each([
    ['{ token = "t" }', 'name is required'],
    ['{ name = "a.b", token = "t" }', 'has no dot'],
    ['{ name = "a" }', 'token is required'],
    ['{ name = "a", token = "t" }, { name = "a", token = "u" }', 'user [a] is duplicated'],
    ['{ name = "a", token = "t", bandwidthLimit = "5" }', '5 is no number with KB or MB'],
    ['{ name = "a", token = "t", allowPorts = [{ start = 9, end = 8 }] }', 'range number is invalid: 9-8'],
    ['{ name = "a", token = "t", ports = 1 }', 'unknown field "ports"'],
  ])('%s is refused', (text, why) => {
    expect(() => users(text)).toThrow(why)
  })
})
