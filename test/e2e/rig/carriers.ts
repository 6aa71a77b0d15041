/** What a session may ride on between our own ends, as `transport` of frpc.toml. */
export interface Carrier {
  name: string
  transport: { protocol: 'tcp' | 'websocket'; tcpMux: boolean; tls: { enable: boolean } }
}

/** Every carrier that a relay on a VM takes. */
export const CARRIERS: readonly Carrier[] = (['tcp', 'websocket'] as const).flatMap((protocol) =>
  [true, false].flatMap((tcpMux) =>
    [false, true].map((enable) => ({
      name: `${enable ? 'TLS in ' : ''}${protocol}${tcpMux ? '' : ', tcpMux = false'}`,
      transport: { protocol, tcpMux, tls: { enable } },
    })),
  ),
)

/** How a proxy may wrap its connections, as `transport` of a proxy. */
export const WRAPPINGS = [
  { wrapping: 'plain', transport: {} },
  { wrapping: 'encrypted', transport: { useEncryption: true } },
  { wrapping: 'compressed', transport: { useCompression: true } },
  { wrapping: 'both', transport: { useEncryption: true, useCompression: true } },
] as const
