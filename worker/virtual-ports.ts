import type { PortListener, Ports, UdpPort } from '../relay/ingress.ts'

/**
 * The raw ports of a runtime that has none: a tcp or udp proxy still gets its number, and visitors ask for it
 * (`frpc visit tcp 6000`).
 */
export class VirtualPorts implements Ports {
  listenTcp(port: number): Promise<PortListener> {
    return Promise.resolve({ port, close: nothing })
  }

  listenUdp(port: number): Promise<UdpPort> {
    return Promise.resolve({ port, close: nothing, send: nothing })
  }
}

function nothing(): void {
  // No port, nothing to do.
}
