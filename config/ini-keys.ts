/** The keys of frp's INI files and the keys that they became (frp: `pkg/config/legacy/conversion.go`). */

/** How a value is written: as it is, an integer, a boolean, a list with commas, `2000-3000,3001`. */
export type IniKind = 'text' | 'int' | 'bool' | 'list' | 'ports' | 'ignored'
/** INI key → dotted key of the TOML form, and the kind. */
export type IniKeys = Readonly<Record<string, readonly [string, IniKind]>>
/** Prefix of INI keys → dotted key of a map; what stands behind the prefix keeps its case. */
export type IniPrefixes = Readonly<Record<string, string>>

const BOTH_ENDS: IniKeys = {
  authentication_method: ['auth.method', 'text'],
  token: ['auth.token', 'text'],
  oidc_audience: ['auth.oidc.audience', 'text'],
  log_file: ['log.to', 'text'],
  log_way: ['', 'ignored'],
  log_level: ['log.level', 'text'],
  log_max_days: ['log.maxDays', 'int'],
  disable_log_color: ['log.disablePrintColor', 'bool'],
  assets_dir: ['webServer.assetsDir', 'text'],
  quic_keepalive_period: ['transport.quic.keepalivePeriod', 'int'],
  quic_max_idle_timeout: ['transport.quic.maxIdleTimeout', 'int'],
  quic_max_incoming_streams: ['transport.quic.maxIncomingStreams', 'int'],
  tcp_mux: ['transport.tcpMux', 'bool'],
  tcp_mux_keepalive_interval: ['transport.tcpMuxKeepaliveInterval', 'int'],
  heartbeat_timeout: ['transport.heartbeatTimeout', 'int'],
  tls_cert_file: ['transport.tls.certFile', 'text'],
  tls_key_file: ['transport.tls.keyFile', 'text'],
  tls_trusted_ca_file: ['transport.tls.trustedCaFile', 'text'],
  udp_packet_size: ['udpPacketSize', 'int'],
}

/** Booleans that add a name to `auth.additionalScopes`. */
export const INI_SCOPES: Readonly<Record<string, string>> = {
  authenticate_heartbeats: 'HeartBeats',
  authenticate_new_work_conns: 'NewWorkConns',
}

/** frps.ini, `[common]`. */
export const FRPS_KEYS: IniKeys = {
  ...BOTH_ENDS,
  bind_addr: ['bindAddr', 'text'],
  bind_port: ['bindPort', 'int'],
  kcp_bind_port: ['kcpBindPort', 'int'],
  quic_bind_port: ['quicBindPort', 'int'],
  proxy_bind_addr: ['proxyBindAddr', 'text'],
  vhost_http_port: ['vhostHTTPPort', 'int'],
  vhost_https_port: ['vhostHTTPSPort', 'int'],
  vhost_http_timeout: ['vhostHTTPTimeout', 'int'],
  tcpmux_httpconnect_port: ['tcpmuxHTTPConnectPort', 'int'],
  tcpmux_passthrough: ['tcpmuxPassthrough', 'bool'],
  subdomain_host: ['subDomainHost', 'text'],
  custom_404_page: ['custom404Page', 'text'],
  enable_prometheus: ['enablePrometheus', 'bool'],
  dashboard_addr: ['webServer.addr', 'text'],
  dashboard_port: ['webServer.port', 'int'],
  dashboard_user: ['webServer.user', 'text'],
  dashboard_pwd: ['webServer.password', 'text'],
  detailed_errors_to_client: ['detailedErrorsToClient', 'bool'],
  oidc_issuer: ['auth.oidc.issuer', 'text'],
  oidc_skip_expiry_check: ['auth.oidc.skipExpiryCheck', 'bool'],
  oidc_skip_issuer_check: ['auth.oidc.skipIssuerCheck', 'bool'],
  tcp_keepalive: ['transport.tcpKeepalive', 'int'],
  max_pool_count: ['transport.maxPoolCount', 'int'],
  max_ports_per_client: ['maxPortsPerClient', 'int'],
  user_conn_timeout: ['userConnTimeout', 'int'],
  tls_only: ['transport.tls.force', 'bool'],
  allow_ports: ['allowPorts', 'ports'],
  nat_hole_analysis_data_reserve_hours: ['natholeAnalysisDataReserveHours', 'int'],
}

/** frps.ini: these count only with `dashboard_tls_mode = true`, pprof included (frp does it so). */
export const DASHBOARD_TLS_KEYS: IniKeys = {
  dashboard_tls_cert_file: ['webServer.tls.certFile', 'text'],
  dashboard_tls_key_file: ['webServer.tls.keyFile', 'text'],
  pprof_enable: ['webServer.pprofEnable', 'bool'],
}

/** frps.ini, `[plugin.NAME]`. */
export const HTTP_PLUGIN_KEYS: IniKeys = {
  addr: ['addr', 'text'],
  path: ['path', 'text'],
  ops: ['ops', 'list'],
  tlsVerify: ['tlsVerify', 'bool'],
}

/** frpc.ini, `[common]`. */
export const FRPC_KEYS: IniKeys = {
  ...BOTH_ENDS,
  server_addr: ['serverAddr', 'text'],
  server_port: ['serverPort', 'int'],
  user: ['user', 'text'],
  oidc_client_id: ['auth.oidc.clientID', 'text'],
  oidc_client_secret: ['auth.oidc.clientSecret', 'text'],
  oidc_scope: ['auth.oidc.scope', 'text'],
  oidc_token_endpoint_url: ['auth.oidc.tokenEndpointURL', 'text'],
  nat_hole_stun_server: ['natHoleStunServer', 'text'],
  dns_server: ['dnsServer', 'text'],
  dial_server_timeout: ['transport.dialServerTimeout', 'int'],
  dial_server_keepalive: ['transport.dialServerKeepalive', 'int'],
  connect_server_local_ip: ['transport.connectServerLocalIP', 'text'],
  http_proxy: ['transport.proxyURL', 'text'],
  pool_count: ['transport.poolCount', 'int'],
  protocol: ['transport.protocol', 'text'],
  heartbeat_interval: ['transport.heartbeatInterval', 'int'],
  tls_enable: ['transport.tls.enable', 'bool'],
  tls_server_name: ['transport.tls.serverName', 'text'],
  disable_custom_tls_first_byte: ['transport.tls.disableCustomTLSFirstByte', 'bool'],
  admin_addr: ['webServer.addr', 'text'],
  admin_port: ['webServer.port', 'int'],
  admin_user: ['webServer.user', 'text'],
  admin_pwd: ['webServer.password', 'text'],
  pprof_enable: ['webServer.pprofEnable', 'bool'],
  login_fail_exit: ['loginFailExit', 'bool'],
  start: ['start', 'list'],
  includes: ['includes', 'list'],
}
export const FRPC_PREFIXES: IniPrefixes = {
  meta_: 'metadatas',
  oidc_additional_: 'auth.oidc.additionalEndpointParams',
}

const PROXY_BASE: IniKeys = {
  type: ['type', 'text'],
  role: ['', 'ignored'],
  local_ip: ['localIP', 'text'],
  local_port: ['localPort', 'int'],
  use_encryption: ['transport.useEncryption', 'bool'],
  use_compression: ['transport.useCompression', 'bool'],
  bandwidth_limit: ['transport.bandwidthLimit', 'text'],
  bandwidth_limit_mode: ['transport.bandwidthLimitMode', 'text'],
  proxy_protocol_version: ['transport.proxyProtocolVersion', 'text'],
  group: ['loadBalancer.group', 'text'],
  group_key: ['loadBalancer.groupKey', 'text'],
  health_check_type: ['healthCheck.type', 'text'],
  health_check_timeout_s: ['healthCheck.timeoutSeconds', 'int'],
  health_check_max_failed: ['healthCheck.maxFailed', 'int'],
  health_check_interval_s: ['healthCheck.intervalSeconds', 'int'],
  health_check_url: ['healthCheck.path', 'text'],
  plugin: ['plugin.type', 'text'],
}
export const PROXY_PREFIXES: IniPrefixes = { meta_: 'metadatas' }
/** Prefixes of `type = http` alone. */
export const HTTP_PREFIXES: IniPrefixes = { ...PROXY_PREFIXES, header_: 'requestHeaders.set' }

const DOMAINS: IniKeys = { custom_domains: ['customDomains', 'list'], subdomain: ['subdomain', 'text'] }
const CREDENTIALS: IniKeys = {
  http_user: ['httpUser', 'text'],
  http_pwd: ['httpPassword', 'text'],
  route_by_http_user: ['routeByHTTPUser', 'text'],
}
const REMOTE: IniKeys = { ...PROXY_BASE, remote_port: ['remotePort', 'int'] }
const SECRET: IniKeys = { ...PROXY_BASE, sk: ['secretKey', 'text'], allow_users: ['allowUsers', 'list'] }

/** frpc.ini, a proxy's section, by `type`; a key of another type is not used. */
export const PROXY_KEYS: Readonly<Record<string, IniKeys>> = {
  tcp: REMOTE,
  udp: REMOTE,
  http: {
    ...PROXY_BASE,
    ...DOMAINS,
    ...CREDENTIALS,
    locations: ['locations', 'list'],
    host_header_rewrite: ['hostHeaderRewrite', 'text'],
  },
  https: { ...PROXY_BASE, ...DOMAINS },
  tcpmux: { ...PROXY_BASE, ...DOMAINS, ...CREDENTIALS, multiplexer: ['multiplexer', 'text'] },
  stcp: SECRET,
  sudp: SECRET,
  xtcp: SECRET,
}
/** For a type that nobody knows, which is then told. */
export const ANY_PROXY_KEYS: IniKeys = PROXY_BASE

const VISITOR_BASE: IniKeys = {
  type: ['type', 'text'],
  role: ['', 'ignored'],
  use_encryption: ['transport.useEncryption', 'bool'],
  use_compression: ['transport.useCompression', 'bool'],
  sk: ['secretKey', 'text'],
  server_user: ['serverUser', 'text'],
  server_name: ['serverName', 'text'],
  bind_addr: ['bindAddr', 'text'],
  bind_port: ['bindPort', 'int'],
}
/** frpc.ini, a visitor's section, by `type`. */
export const VISITOR_KEYS: Readonly<Record<string, IniKeys>> = {
  stcp: VISITOR_BASE,
  sudp: VISITOR_BASE,
  xtcp: {
    ...VISITOR_BASE,
    protocol: ['protocol', 'text'],
    keep_tunnel_open: ['keepTunnelOpen', 'bool'],
    max_retries_an_hour: ['maxRetriesAnHour', 'int'],
    min_retry_interval: ['minRetryInterval', 'int'],
    fallback_to: ['fallbackTo', 'text'],
    fallback_timeout_ms: ['fallbackTimeoutMs', 'int'],
  },
}
export const ANY_VISITOR_KEYS: IniKeys = VISITOR_BASE

const PLUGIN_BACKEND: IniKeys = {
  plugin_local_addr: ['plugin.localAddr', 'text'],
  plugin_host_header_rewrite: ['plugin.hostHeaderRewrite', 'text'],
}
const PLUGIN_CERTIFICATE: IniKeys = {
  ...PLUGIN_BACKEND,
  plugin_crt_path: ['plugin.crtPath', 'text'],
  plugin_key_path: ['plugin.keyPath', 'text'],
}
const PLUGIN_CREDENTIALS: IniKeys = {
  plugin_http_user: ['plugin.httpUser', 'text'],
  plugin_http_passwd: ['plugin.httpPassword', 'text'],
}
/** Keys that come with `plugin = TYPE`. */
export const PLUGIN_KEYS: Readonly<Record<string, IniKeys>> = {
  http_proxy: PLUGIN_CREDENTIALS,
  socks5: { plugin_user: ['plugin.username', 'text'], plugin_passwd: ['plugin.password', 'text'] },
  static_file: {
    ...PLUGIN_CREDENTIALS,
    plugin_local_path: ['plugin.localPath', 'text'],
    plugin_strip_prefix: ['plugin.stripPrefix', 'text'],
  },
  unix_domain_socket: { plugin_unix_path: ['plugin.unixPath', 'text'] },
  http2https: PLUGIN_BACKEND,
  https2http: PLUGIN_CERTIFICATE,
  https2https: PLUGIN_CERTIFICATE,
}
/** `plugin_header_X` of the plugins that have headers. */
export const PLUGIN_HEADER_PREFIX: IniPrefixes = { plugin_header_: 'plugin.requestHeaders.set' }
export const PLUGINS_WITH_HEADERS: readonly string[] = ['http2https', 'https2http', 'https2https']
