import { createSocket, type Socket } from 'node:dgram'
import type { CleanUp } from '../client-rig.ts'

/** How a NAT in front of the asker would change the port that the stub's other address sees. */
export interface StubOptions {
  /** Added to the asker's port in what the other address answers. */
  portStep?: number
  /** Answers without another address, as many public servers do. */
  isAlone?: boolean
}

/** A STUN server on two ports of 127.0.0.1; answers its first port. */
export async function startStun(cleanUp: CleanUp, options: StubOptions = {}): Promise<number> {
  const first = await bound(cleanUp)
  const other = await bound(cleanUp)
  const otherPort = options.isAlone === true ? 0 : other.address().port
  first.on('message', (request, from) => first.send(answer(request, from.port, otherPort), from.port, from.address))
  other.on('message', (request, from) => {
    other.send(answer(request, from.port + (options.portStep ?? 0), first.address().port), from.port, from.address)
  })
  return first.address().port
}

/** XOR-MAPPED-ADDRESS 127.0.0.1:`mapped` and OTHER-ADDRESS 127.0.0.1:`other`, 0: none. */
function answer(request: Buffer, mapped: number, other: number): Buffer {
  const attributes = [
    attribute(0x0020, mapped ^ 0x2112, (0x7f000001 ^ 0x2112a442) >>> 0),
    ...(other === 0 ? [] : [attribute(0x802c, other, 0x7f000001)]),
  ]
  const body = Buffer.concat(attributes)
  const head = Buffer.from(request.subarray(0, 20))
  head.writeUInt16BE(0x0101, 0)
  head.writeUInt16BE(body.length, 2)
  return Buffer.concat([head, body])
}

function attribute(type: number, port: number, ip: number): Buffer {
  const bytes = Buffer.from([0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0])
  bytes.writeUInt16BE(type, 0)
  bytes.writeUInt16BE(port, 6)
  bytes.writeUInt32BE(ip, 8)
  return bytes
}

function bound(cleanUp: CleanUp): Promise<Socket> {
  const socket = createSocket('udp4')
  return new Promise((resolve) => {
    socket.bind(0, '127.0.0.1', () => {
      cleanUp.add(() => new Promise<void>((closed) => socket.close(closed)))
      resolve(socket)
    })
  })
}
