import { FrpError } from '../../contract/errors.ts'
import { HEAD_ROOM } from '../limits.ts'
import { type Edgefrp, edgefrp } from './edgefrp-field.ts'
import {
  address,
  bytes,
  count,
  type Fields,
  flag,
  type Givens,
  int,
  list,
  map,
  Shape,
  struct,
  text,
  uint16,
  type Values,
  wrong,
} from './fields.ts'
import { JsonObject, readJson } from './json.ts'
import { learn, readKnown, writeUdpPacket } from './udp-packet.ts'

interface Entry<F extends Fields> {
  /** frp v1: the byte before the length. */
  typeByte: number
  /** frp v2: the id in the frame. */
  id: number
  fields: F
}

function entry<F extends Fields>(letter: string, id: number, fields: F): Entry<F> {
  return { typeByte: letter.charCodeAt(0), id, fields }
}

const texts = list(text)

/** Every message of frp (pkg/msg/msg.go): v1 letter, v2 id, and its fields in the order that Go writes them. */
const TABLE = {
  Login: entry('o', 1, {
    version: text,
    hostname: text,
    os: text,
    arch: text,
    user: text,
    privilege_key: text,
    timestamp: int,
    run_id: text,
    client_id: text,
    metas: map,
    client_spec: struct({ type: text, always_auth_pass: flag }),
    // Stock frps panics at -11; a negative pool is an empty one.
    pool_count: count,
    edgefrp,
  }),
  LoginResp: entry('1', 2, { version: text, run_id: text, error: text, edgefrp }),
  NewProxy: entry('p', 3, {
    proxy_name: text,
    proxy_type: text,
    use_encryption: flag,
    use_compression: flag,
    bandwidth_limit: text,
    bandwidth_limit_mode: text,
    group: text,
    group_key: text,
    metas: map,
    annotations: map,
    // Any int, as in Go: a port that cannot be is refused with an answer, not with a closed connection.
    remote_port: int,
    custom_domains: texts,
    subdomain: text,
    locations: texts,
    http_user: text,
    http_pwd: text,
    host_header_rewrite: text,
    headers: map,
    response_headers: map,
    route_by_http_user: text,
    sk: text,
    allow_users: texts,
    multiplexer: text,
  }),
  NewProxyResp: entry('2', 4, { proxy_name: text, remote_addr: text, error: text }),
  CloseProxy: entry('c', 5, { proxy_name: text }),
  NewWorkConn: entry('w', 6, { run_id: text, privilege_key: text, timestamp: int }),
  ReqWorkConn: entry('r', 7, {}),
  StartWorkConn: entry('s', 8, {
    proxy_name: text,
    src_addr: text,
    dst_addr: text,
    src_port: uint16,
    dst_port: uint16,
    error: text,
    edgefrp,
  }),
  NewVisitorConn: entry('v', 9, {
    run_id: text,
    proxy_name: text,
    sign_key: text,
    timestamp: int,
    use_encryption: flag,
    use_compression: flag,
    edgefrp,
  }),
  NewVisitorConnResp: entry('3', 10, { proxy_name: text, error: text, edgefrp }),
  Ping: entry('h', 11, { privilege_key: text, timestamp: int }),
  Pong: entry('4', 12, { error: text }),
  UDPPacket: entry('u', 13, { c: bytes, l: address, r: address }),
  NatHoleVisitor: entry('i', 14, {
    transaction_id: text,
    proxy_name: text,
    pre_check: flag,
    protocol: text,
    sign_key: text,
    timestamp: int,
    mapped_addrs: texts,
    assisted_addrs: texts,
  }),
  NatHoleClient: entry('n', 15, {
    transaction_id: text,
    proxy_name: text,
    sid: text,
    mapped_addrs: texts,
    assisted_addrs: texts,
  }),
  NatHoleResp: entry('m', 16, {
    transaction_id: text,
    sid: text,
    protocol: text,
    candidate_addrs: texts,
    assisted_addrs: texts,
    detect_behavior: struct({
      role: text,
      mode: int,
      ttl: int,
      send_delay_ms: int,
      read_timeout: int,
      candidate_ports: list(struct({ from: int, to: int })),
      send_random_ports: int,
      listen_random_ports: int,
    }),
    error: text,
  }),
  NatHoleSid: entry('5', 17, { transaction_id: text, sid: text, response: flag, nonce: text }),
  NatHoleReport: entry('6', 18, { sid: text, success: flag }),
}

type Table = typeof TABLE
export type MessageType = keyof Table

type Flat<T> = { [K in keyof T]: T[K] }
type Received<F extends Fields> = Omit<Values<F>, 'edgefrp'> &
  ('edgefrp' extends keyof F ? { edgefrp?: Edgefrp } : object)

/** One message as it was read: every field is there, with its zero value when it was absent. */
export type MessageOf<T extends MessageType> = Flat<{ type: T } & Received<Table[T]['fields']>>
/** One message to send: what is left out, or zero, is not written. */
export type OutgoingOf<T extends MessageType> = Flat<{ type: T } & Givens<Table[T]['fields']>>

export type Message = { [T in MessageType]: MessageOf<T> }[MessageType]
export type Outgoing = { [T in MessageType]: OutgoingOf<T> }[MessageType]

export type Login = MessageOf<'Login'>
export type LoginResp = MessageOf<'LoginResp'>
export type NewProxy = MessageOf<'NewProxy'>
export type NewProxyResp = MessageOf<'NewProxyResp'>
export type CloseProxy = MessageOf<'CloseProxy'>
export type NewWorkConn = MessageOf<'NewWorkConn'>
export type ReqWorkConn = MessageOf<'ReqWorkConn'>
export type StartWorkConn = MessageOf<'StartWorkConn'>
export type NewVisitorConn = MessageOf<'NewVisitorConn'>
export type NewVisitorConnResp = MessageOf<'NewVisitorConnResp'>
export type Ping = MessageOf<'Ping'>
export type Pong = MessageOf<'Pong'>
export type UDPPacket = MessageOf<'UDPPacket'>
export type NatHoleVisitor = MessageOf<'NatHoleVisitor'>
export type NatHoleClient = MessageOf<'NatHoleClient'>
export type NatHoleResp = MessageOf<'NatHoleResp'>
export type NatHoleSid = MessageOf<'NatHoleSid'>
export type NatHoleReport = MessageOf<'NatHoleReport'>
export type { Edgefrp }

const MESSAGE_TYPES = Object.keys(TABLE) as MessageType[] // the keys of TABLE, by construction
const shapes = new Map(MESSAGE_TYPES.map((type) => [type, new Shape<Fields>(TABLE[type].fields)]))
const typeOfByte = new Map(MESSAGE_TYPES.map((type) => [TABLE[type].typeByte, type]))
const typeOfId = new Map(MESSAGE_TYPES.map((type) => [TABLE[type].id, type]))

const utf8 = new TextEncoder()

/** The message with this v1 type byte, if there is one. */
export function messageTypeOfByte(byte: number): MessageType | undefined {
  return typeOfByte.get(byte)
}

/** The message with this v2 id, if there is one. */
export function messageTypeOfId(id: number): MessageType | undefined {
  return typeOfId.get(id)
}

export function typeByteOf(type: MessageType): number {
  return TABLE[type].typeByte
}

export function idOf(type: MessageType): number {
  return TABLE[type].id
}

/**
 * Reads the JSON body of a message with Go's rules. `undefined` for the body `null`, which frp takes for no
 * message at all. Throws MESSAGE_JSON or MESSAGE_FIELD.
 */
export function decode(type: MessageType, json: Uint8Array): Message | undefined {
  const known = type === 'UDPPacket' ? readKnown(json) : undefined
  if (known !== undefined) return known
  const message = decodeByFields(type, json)
  if (message?.type === 'UDPPacket' && message.c.length > 0) learn(json, message, utf8.encode(encode(message)))
  return message
}

/** As `decode`, without what was learned of the messages before. */
export function decodeByFields(type: MessageType, json: Uint8Array): Message | undefined {
  const node = readJson(json)
  if (node === null) return undefined
  if (!(node instanceof JsonObject)) throw wrong(type, 'an object', node)
  const shape = shapeOf(type)
  const message: Record<string, unknown> = { type }
  shape.zero(message)
  shape.read(node, type, message)
  return message as unknown as Message // `zero` set every field of the table, `read` kept their types
}

/** The JSON body of a message, byte for byte as Go writes it. Throws MESSAGE_FIELD for a number that is no integer. */
export function encode(message: Outgoing): string {
  return shapeOf(message.type).write(message)
}

/** The same behind `before` bytes for the frame's head, with `HEAD_ROOM` bytes of its buffer before those. */
export function encodeBehind(before: number, message: Outgoing): Uint8Array {
  const packet = message.type === 'UDPPacket' ? writeUdpPacket(message, before) : undefined
  if (packet !== undefined) return packet
  const body = utf8.encode(encode(message))
  const frame = new Uint8Array(HEAD_ROOM + before + body.length).subarray(HEAD_ROOM)
  frame.set(body, before)
  return frame
}

function shapeOf(type: MessageType): Shape<Fields> {
  const shape = shapes.get(type)
  if (shape === undefined) throw new FrpError('MESSAGE_TYPE', `no message is called ${type}`)
  return shape
}
