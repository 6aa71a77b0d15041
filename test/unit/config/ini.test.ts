import { describe, expect, it } from 'vitest'
import { loadFrpc, loadFrps } from '../../../config/load.ts'
import { failure, fixture, source } from './loading.ts'

const DEPRECATED =
  'ini format is deprecated and the support will be removed in the future, please use yaml/json/toml format instead!'
const frps = (text: string) => loadFrps(source(`[common]\n${text}`, 'frps.ini'))
const frpc = (text: string) => loadFrpc(source(`[common]\n${text}`, 'frpc.ini'))
/** The warnings of the INI file itself, not of what is not built. */
const unused = (warnings: string[]) => warnings.filter((line) => / is not used/.test(line))

describe('frps.ini', () => {
  it('of an old installation means what it means to frp', () => {
    const { options, warnings } = loadFrps(fixture('frps.ini'))
    expect(options).toMatchObject({
      bindAddr: '0.0.0.0',
      bindPort: 7000,
      vhostHTTPPort: 8080,
      vhostHTTPSPort: 4433,
      webServer: { addr: '0.0.0.0', port: 7500, user: 'admin', password: 'change-me' },
      enablePrometheus: true,
      log: { to: '/var/log/frps.log', level: 'info', maxDays: 3, disablePrintColor: false },
      detailedErrorsToClient: true,
      auth: { method: 'token', token: 'a-long-token' },
    })
    expect(warnings[0]).toBe(DEPRECATED)
    expect(unused(warnings)).toEqual(['frps.ini:4: bind_udp_port is not used'])
  })

  it('equals the same file in TOML', () => {
    const ini = loadFrps(fixture('frps.ini')).options
    const toml = loadFrps(fixture('frps.toml')).options
    expect({ ...ini, given: 0 }).toEqual({ ...toml, given: 0 })
  })

  it.each([
    ['kcp_bind_port = 1', { kcpBindPort: 1 }],
    ['quic_bind_port = 1', { quicBindPort: 1 }],
    ['proxy_bind_addr = ::', { proxyBindAddr: '::' }],
    ['vhost_http_timeout = 5', { vhostHTTPTimeout: 5 }],
    ['tcpmux_httpconnect_port = 1\ntcpmux_passthrough', { tcpmuxHTTPConnectPort: 1, tcpmuxPassthrough: true }],
    ['subdomain_host = example.com', { subDomainHost: 'example.com' }],
    ['custom_404_page = /p.html', { custom404Page: '/p.html' }],
    ['dashboard_addr = 127.0.0.1', { webServer: { addr: '127.0.0.1' } }],
    ['assets_dir = /a', { webServer: { assetsDir: '/a' } }],
    [
      'dashboard_tls_mode = yes\ndashboard_tls_cert_file = c\ndashboard_tls_key_file = k\npprof_enable = on',
      { webServer: { tls: { certFile: 'c', keyFile: 'k' }, pprofEnable: true } },
    ],
    ['authenticate_heartbeats = true', { auth: { additionalScopes: ['HeartBeats'] } }],
    [
      'authenticate_heartbeats = t\nauthenticate_new_work_conns = 1',
      { auth: { additionalScopes: ['HeartBeats', 'NewWorkConns'] } },
    ],
    ['oidc_issuer = i\noidc_audience = a', { auth: { oidc: { issuer: 'i', audience: 'a' } } }],
    ['oidc_skip_expiry_check = y', { auth: { oidc: { skipExpiryCheck: true } } }],
    ['oidc_skip_issuer_check = y', { auth: { oidc: { skipIssuerCheck: true } } }],
    ['tcp_mux = false', { transport: { tcpMux: false, heartbeatTimeout: 90 } }],
    ['tcp_mux_keepalive_interval = 5', { transport: { tcpMuxKeepaliveInterval: 5 } }],
    ['tcp_keepalive = -1', { transport: { tcpKeepalive: -1 } }],
    ['heartbeat_timeout = -1', { transport: { heartbeatTimeout: -1 } }],
    ['max_pool_count = 50', { transport: { maxPoolCount: 50 } }],
    ['max_ports_per_client = 3', { maxPortsPerClient: 3 }],
    ['user_conn_timeout = 3', { userConnTimeout: 3 }],
    ['udp_packet_size = 9000', { udpPacketSize: 9000 }],
    ['tls_only = true', { transport: { tls: { force: true } } }],
    ['tls_cert_file = c\ntls_key_file = k', { transport: { tls: { certFile: 'c', keyFile: 'k' } } }],
    ['tls_trusted_ca_file = ca', { transport: { tls: { trustedCaFile: 'ca', force: true } } }],
    [
      'quic_keepalive_period = 1\nquic_max_idle_timeout = 2',
      { transport: { quic: { keepalivePeriod: 1, maxIdleTimeout: 2 } } },
    ],
    ['quic_max_incoming_streams = 3', { transport: { quic: { maxIncomingStreams: 3 } } }],
    ['nat_hole_analysis_data_reserve_hours = 1', { natholeAnalysisDataReserveHours: 1 }],
    [
      'allow_ports = 2000-3000, 3001',
      {
        allowPorts: [
          { start: 2000, end: 3000, single: 0 },
          { start: 0, end: 0, single: 3001 },
        ],
      },
    ],
    ['log_way = file', { log: { to: 'console' } }],
    ['bind_port = 0x1b58', { bindPort: 7000 }],
    ['bind_port =', { bindPort: 7000 }],
    ['bind_port : 7001', { bindPort: 7001 }],
    ['token = "quoted"', { auth: { token: 'quoted' } }],
    ["token = 'it''s'", { auth: { token: "'it''s'" } }],
    ['token = a # b ; c', { auth: { token: 'a # b ; c' } }],
    ['token = a\\\nb', { auth: { token: 'ab' } }],
    ['token = a=b:c', { auth: { token: 'a=b:c' } }],
    ['token = {{ .Envs.NONE }}', { auth: { token: '<no value>' } }],
  ])('%j', (text, expected) => {
    const { options, warnings } = frps(text)
    expect(options).toMatchObject(expected)
    expect(unused(warnings)).toEqual([])
  })

  it('takes plugins from their sections', () => {
    const { options } = frps(
      '\n[plugin.users]\naddr = 127.0.0.1:9000\npath = /h\nops = Login,NewProxy\ntlsVerify = true',
    )
    expect(options.httpPlugins).toEqual([
      { name: 'users', addr: '127.0.0.1:9000', path: '/h', ops: ['Login', 'NewProxy'], tlsVerify: true },
    ])
  })

  it('warns of what is not used, a line each', () => {
    const { warnings } = frps('Bind_Port = 1\npprof_enable = true\nvhost_http_prot = 80\n[strange]\na = b')
    expect(unused(warnings)).toEqual([
      'frps.ini:3: pprof_enable is not used without dashboard_tls_mode = true',
      'frps.ini:2: Bind_Port is not used',
      'frps.ini:4: vhost_http_prot is not used',
      'frps.ini:5: section [strange] is not used',
    ])
  })

  it.each([
    ['bind_port = abc', 'frps.ini:2: [common] bind_port: "abc" is not an integer'],
    ['bind_port = 70000', 'frps.ini:2: [common] bind_port: port number 70000 must be in the range 0..65535'],
    ['heartbeat_timeout = 30s', 'frps.ini:2: [common] heartbeat_timeout: "30s" is not an integer'],
    ['tcp_mux = maybe', 'frps.ini:2: [common] tcp_mux: "maybe" is not true or false'],
    ['dashboard_tls_mode = maybe', 'frps.ini:2: [common] dashboard_tls_mode: "maybe" is not true or false'],
    ['allow_ports = 9-1', 'frps.ini:2: [common] allow_ports: range number is invalid'],
    ['allow_ports = a', 'frps.ini:2: [common] allow_ports: range number is invalid, parsing "a": invalid syntax'],
    [
      'log_level = loud',
      'frps.ini:2: [common] log_level: invalid log level, optional values are [trace debug info warn error]',
    ],
    [
      '[plugin.a]\nops = Dance',
      'frps.ini:3: [plugin.a] ops: invalid http plugin ops, optional values are [Login NewProxy CloseProxy Ping NewWorkConn NewUserConn]',
    ],
  ])('refuses a wrong value, %j', (text, line) => {
    expect(failure(() => frps(text))).toEqual({ code: 'CONFIG_FIELD', lines: [line] })
  })

  it('that is no INI after all has the error and the line of INI', () => {
    expect(failure(() => frps('"""a = b'))).toEqual({ code: undefined, lines: [] })
    expect(failure(() => frps('token = {{ if .Envs.A }}=\n= 3{{ end }}x = """open')).code).toBe('CONFIG_SYNTAX')
  })
})

describe('frpc.ini', () => {
  it('of an old installation means what it means to frp', () => {
    const { options, warnings } = loadFrpc(fixture('frpc.ini'))
    expect(warnings).toEqual([DEPRECATED])
    expect(options).toMatchObject({
      serverAddr: 'relay.example.com',
      serverPort: 7000,
      auth: { token: 'a-long-token' },
    })
    const rows = options.proxies.map((proxy) =>
      proxy.type === 'tcp' ? [proxy.name, proxy.localIP, proxy.localPort, proxy.remotePort] : proxy.type,
    )
    expect(rows).toEqual([
      ['nas_ssh', '192.168.50.10', 22, 6022],
      ['dsm', '192.168.50.10', 5000, 6500],
      ['https_webdav', '192.168.50.10', 5006, 6506],
      ['http_webdav', '192.168.50.10', 5005, 6505],
      ['emby_8096', '192.168.50.10', 8096, 8096],
      ['plex_32400', '192.168.50.10', 32400, 32400],
      ['nas_samba_445', '192.168.50.10', 445, 6445],
      ['nas_cloudreve_5212', '192.168.50.10', 5212, 5212],
      ['merlin_center', '192.168.50.1', 8443, 6443],
    ])
  })

  it.each([
    ['user = u\ndns_server = 1.1.1.1', { user: 'u', dnsServer: '1.1.1.1' }],
    ['nat_hole_stun_server = s:1', { natHoleStunServer: 's:1' }],
    [
      'dial_server_timeout = 3\ndial_server_keepalive = 4',
      { transport: { dialServerTimeout: 3, dialServerKeepalive: 4 } },
    ],
    ['connect_server_local_ip = 10.0.0.1', { transport: { connectServerLocalIP: '10.0.0.1' } }],
    ['http_proxy = http://p:1', { transport: { proxyURL: 'http://p:1' } }],
    ['pool_count = 5\nprotocol = wss', { transport: { poolCount: 5, protocol: 'wss' } }],
    ['heartbeat_interval = 10\nheartbeat_timeout = 30', { transport: { heartbeatInterval: 10, heartbeatTimeout: 30 } }],
    ['tls_enable = false\ntls_server_name = n', { transport: { tls: { enable: false, serverName: 'n' } } }],
    ['disable_custom_tls_first_byte = false', { transport: { tls: { disableCustomTLSFirstByte: false } } }],
    ['admin_addr = 0.0.0.0\nadmin_port = 7400', { webServer: { addr: '0.0.0.0', port: 7400 } }],
    [
      'admin_user = a\nadmin_pwd = b\npprof_enable = true',
      { webServer: { user: 'a', password: 'b', pprofEnable: true } },
    ],
    ['login_fail_exit = false', { loginFailExit: false }],
    ['start = a, b', { start: ['a', 'b'] }],
    ['meta_FooBar = 1', { metadatas: { FooBar: '1' } }],
    [
      'oidc_client_id = i\noidc_client_secret = s\noidc_scope = c\noidc_token_endpoint_url = https://t/\noidc_additional_Var1 = x',
      {
        auth: {
          oidc: {
            clientID: 'i',
            clientSecret: 's',
            scope: 'c',
            tokenEndpointURL: 'https://t/',
            additionalEndpointParams: { Var1: 'x' },
          },
        },
      },
    ],
  ])('[common] %j', (text, expected) => {
    const { options, warnings } = frpc(text)
    expect(options).toMatchObject(expected)
    expect(unused(warnings)).toEqual([])
  })

  it.each([
    ['local_port = 1', { type: 'tcp', localPort: 1, remotePort: 0 }],
    ['type = udp\nremote_port = 1', { type: 'udp', remotePort: 1 }],
    [
      'use_encryption = 1\nuse_compression\nbandwidth_limit = 1MB\nbandwidth_limit_mode = server\nproxy_protocol_version = v2',
      {
        transport: {
          useEncryption: true,
          useCompression: true,
          bandwidthLimit: '1MB',
          bandwidthLimitMode: 'server',
          proxyProtocolVersion: 'v2',
        },
      },
    ],
    ['group = g\ngroup_key = k\nmeta_A = 1', { loadBalancer: { group: 'g', groupKey: 'k' }, metadatas: { A: '1' } }],
    [
      'health_check_type = http\nhealth_check_timeout_s = 1\nhealth_check_max_failed = 2\nhealth_check_interval_s = 3\nhealth_check_url = /h',
      { healthCheck: { type: 'http', timeoutSeconds: 1, maxFailed: 2, intervalSeconds: 3, path: '/h' } },
    ],
    [
      'type = http\ncustom_domains = a.com, b.com\nsubdomain = s\nlocations = /,/p\nhttp_user = u\nhttp_pwd = p\nhost_header_rewrite = h\nroute_by_http_user = r\nheader_X-From-Where = frp',
      {
        customDomains: ['a.com', 'b.com'],
        subdomain: 's',
        locations: ['/', '/p'],
        httpUser: 'u',
        httpPassword: 'p',
        hostHeaderRewrite: 'h',
        routeByHTTPUser: 'r',
        requestHeaders: { set: { 'X-From-Where': 'frp' } },
      },
    ],
    ['type = https\nsubdomain = s', { type: 'https', subdomain: 's' }],
    [
      'type = tcpmux\nmultiplexer = httpconnect\ncustom_domains = a\nhttp_user = u\nhttp_pwd = p\nroute_by_http_user = r',
      { multiplexer: 'httpconnect', customDomains: ['a'], httpUser: 'u', httpPassword: 'p', routeByHTTPUser: 'r' },
    ],
    ['type = stcp\nrole = server\nsk = s\nallow_users = *', { type: 'stcp', secretKey: 's', allowUsers: ['*'] }],
    ['type = sudp\nsk = s', { type: 'sudp', secretKey: 's' }],
    ['type = xtcp\nsk = s', { type: 'xtcp', secretKey: 's' }],
    ['plugin =', { plugin: undefined }],
    [
      'plugin = http_proxy\nplugin_http_user = u\nplugin_http_passwd = p',
      { plugin: { type: 'http_proxy', httpUser: 'u', httpPassword: 'p' } },
    ],
    [
      'plugin = socks5\nplugin_user = u\nplugin_passwd = p',
      { plugin: { type: 'socks5', username: 'u', password: 'p' } },
    ],
    [
      'plugin = static_file\nplugin_local_path = /l\nplugin_strip_prefix = s\nplugin_http_user = u',
      { plugin: { type: 'static_file', localPath: '/l', stripPrefix: 's', httpUser: 'u' } },
    ],
    ['plugin = unix_domain_socket\nplugin_unix_path = /s', { plugin: { type: 'unix_domain_socket', unixPath: '/s' } }],
    [
      'plugin = https2http\nplugin_local_addr = a:1\nplugin_host_header_rewrite = h\nplugin_header_X-A = 1\nplugin_crt_path = c\nplugin_key_path = k',
      {
        plugin: {
          type: 'https2http',
          localAddr: 'a:1',
          hostHeaderRewrite: 'h',
          requestHeaders: { set: { 'X-A': '1' } },
          crtPath: 'c',
          keyPath: 'k',
          enableHTTP2: true,
        },
      },
    ],
  ])('a proxy %j', (text, expected) => {
    const { options, warnings } = frpc(`[p]\n${text}`)
    expect(options.proxies).toMatchObject([{ name: 'p', ...expected }])
    expect(unused(warnings)).toEqual([])
  })

  it('takes visitors by their role', () => {
    const text =
      '[v]\nrole = visitor\ntype = xtcp\nserver_user = u\nserver_name = s\nsk = k\nbind_addr = 0.0.0.0\nbind_port = 9000\nprotocol = kcp\nkeep_tunnel_open = true\nmax_retries_an_hour = 1\nmin_retry_interval = 2\nfallback_to = f\nfallback_timeout_ms = 3\nuse_encryption = true'
    expect(frpc(text).options.visitors).toMatchObject([
      {
        name: 'v',
        type: 'xtcp',
        serverUser: 'u',
        serverName: 's',
        secretKey: 'k',
        bindAddr: '0.0.0.0',
        bindPort: 9000,
        protocol: 'kcp',
        keepTunnelOpen: true,
        maxRetriesAnHour: 1,
        minRetryInterval: 2,
        fallbackTo: 'f',
        fallbackTimeoutMs: 3,
        transport: { useEncryption: true, useCompression: false },
      },
    ])
  })

  it('makes a proxy of each port of a range, named by its place', () => {
    const { options } = frpc('[range:tcp]\ntype = tcp\nlocal_port = 6000-6001,6007\nremote_port = 7000-7001,7007')
    const rows = options.proxies.map((proxy) => [
      proxy.name,
      proxy.localPort,
      'remotePort' in proxy && proxy.remotePort,
    ])
    expect(rows).toEqual([
      ['tcp_0', 6000, 7000],
      ['tcp_1', 6001, 7001],
      ['tcp_2', 6007, 7007],
    ])
  })

  it('warns of keys that the type does not have', () => {
    const { warnings } = frpc('Token = x\n[p]\ntype = tcp\nsubdomain = s\nheader_X = 1\nplugin_user = u')
    expect(unused(warnings)).toEqual([
      'frpc.ini:2: Token is not used',
      'frpc.ini:5: [p] subdomain is not used',
      'frpc.ini:6: [p] header_X is not used',
      'frpc.ini:7: [p] plugin_user is not used',
    ])
  })

  it.each([
    ['[p]\nlocal_port = x', 'frpc.ini:3: [p] local_port: "x" is not an integer'],
    ['[p]\nremote_port = 70000', 'frpc.ini:3: [p] remote_port: port number 70000 must be in the range 0..65535'],
    ['[p]\ntype = ftp', 'frpc.ini:3: [p] type: unknown proxy type: ftp'],
    ['[p]\ntype = http', 'frpc.ini:2: [p]: subdomain and custom domains should not be both empty'],
    ['[p]\nplugin = magic', 'frpc.ini:3: [p] plugin: unknown plugin type: magic'],
    ['[p]\nrole = guest', "frpc.ini:2: [p] role: proxy p role should be 'server' or 'visitor'"],
    ['[v]\nrole = visitor', 'frpc.ini:2: [v]: unknown visitor type: '],
    ['[range:r]\nlocal_port = 1', 'frpc.ini:2: [range:r]: local_port or remote_port is empty'],
    [
      '[range:r]\nlocal_port = 1\nremote_port = 1-2',
      'frpc.ini:2: [range:r]: local ports number should be same with remote ports number',
    ],
    ['[range:r]\nlocal_port = 2-1\nremote_port = 1', 'frpc.ini:2: [range:r]: local_port: range number is invalid'],
    [
      'protocol = invalid',
      'frpc.ini:2: [common] protocol: invalid transport.protocol, optional values are [tcp kcp quic websocket wss]',
    ],
  ])('refuses %j', (text, line) => {
    expect(failure(() => frpc(text))).toEqual({ code: 'CONFIG_FIELD', lines: [line] })
  })

  it('appends the files that includes names', () => {
    const readInclude = (glob: string) => [
      { fileName: `${glob}/x.ini`, text: '[b]\nlocal_port = {{ .Envs.P }}\n[common]\nuser = no' },
    ]
    const text = '[common]\nincludes = a,c\nuser = u\n[p]\ntype = tcp'
    const { options, warnings } = loadFrpc(
      source(text, 'frpc.ini', { readInclude: (g) => (g === 'a' ? readInclude(g) : []), envs: { P: '5' } }),
    )
    expect(options.user).toBe('u')
    expect(options.proxies.map((proxy) => [proxy.name, proxy.localPort])).toEqual([
      ['p', 0],
      ['b', 5],
    ])
    expect(unused(warnings)).toEqual(['a/x.ini:3: section [common] is not used'])
    const twice = () => loadFrpc(source('[common]\nincludes = a\n[b]', 'frpc.ini', { readInclude, envs: { P: '5' } }))
    expect(failure(twice).lines).toEqual(['a/x.ini:1: [b]: proxy name [b] is duplicated'])
  })

  it('goes with a file of our own keys', () => {
    const edgefrp = { fileName: 'edgefrp.toml', text: 'stateFile = "/s"\n[[fallbackServers]]\nserverAddr = "vps"' }
    const { options } = loadFrpc(source('[common]\ntoken = t\nprotocol = wss', 'frpc.ini', { edgefrp }))
    expect(options.edgefrp).toMatchObject({
      stateFile: '/s',
      fallbackServers: [{ serverAddr: 'vps', auth: { token: 't' }, transport: { protocol: 'wss' } }],
    })
  })
})
