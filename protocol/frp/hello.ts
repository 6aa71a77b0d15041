import { concat } from '../../contract/bytes.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Crypto } from '../../contract/runtime.ts'
import { AEAD_ALGORITHMS, type Suite } from './aead.ts'
import type { AeadAlgorithm } from './aead-direction.ts'
import { bytes, flag, type Givens, list, Shape, struct, text, type Values, wrong } from './fields.ts'
import { type JsonNode, JsonObject, readJson } from './json.ts'

/** What a relay says of a hello that it refuses; the text is frp's. */
export interface HelloRefusal {
  error: FrpError
  /** Payload of the ServerHello that tells the client. */
  payload: Uint8Array
}

/** frp names no other codec of messages. */
const JSON_CODEC = 'json'
/** pkg/proto/wire, CryptoRandomSize. */
const RANDOM_BYTES = 32

// The fields in the order that Go writes them (pkg/proto/wire/wire.go).
const CLIENT_FIELDS = {
  bootstrap: struct({ transport: text, tls: flag, tcpMux: flag }),
  capabilities: struct({
    message: struct({ codecs: list(text) }),
    crypto: struct({ algorithms: list(text), clientRandom: bytes }),
  }),
}
const SERVER_FIELDS = {
  selected: struct({
    message: struct({ codec: text }),
    crypto: struct({ algorithm: text, serverRandom: bytes }),
  }),
  error: text,
}
const clientShape = new Shape(CLIENT_FIELDS)
const serverShape = new Shape(SERVER_FIELDS)
const utf8 = new TextEncoder()

/** How the client came, for the relay's information: `transport.protocol`, TLS of any kind, `transport.tcpMux`. */
export interface Bootstrap {
  transport: string
  tls: boolean
  tcpMux: boolean
}

/** The payload of a ClientHello. */
export function clientHello(bootstrap: Bootstrap, crypto: Crypto): Uint8Array {
  const hello: Givens<typeof CLIENT_FIELDS> = {
    bootstrap,
    capabilities: {
      message: { codecs: [JSON_CODEC] },
      crypto: { algorithms: AEAD_ALGORITHMS, clientRandom: crypto.randomBytes(RANDOM_BYTES) },
    },
  }
  return utf8.encode(clientShape.write(hello))
}

/**
 * Answers a ClientHello: the payload of the ServerHello and what the control connection is encrypted with, or why it
 * is refused. The cipher is the first of the client's list that we know, as frps takes it. Throws MESSAGE_JSON or
 * MESSAGE_FIELD for what is no hello at all.
 */
export function answerHello(payload: Uint8Array, crypto: Crypto): { payload: Uint8Array; suite: Suite } | HelloRefusal {
  const { message, crypto: offered } = readClientHello(payload).capabilities
  if (!message.codecs.includes(JSON_CODEC)) return refusal('unsupported message codec')
  const { length } = offered.clientRandom
  if (length !== RANDOM_BYTES) {
    return refusal(`invalid crypto client random length ${length}, want ${RANDOM_BYTES}`)
  }
  const algorithm = offered.algorithms.find(isKnown)
  if (algorithm === undefined) return refusal('no supported crypto algorithm')
  const serverRandom = crypto.randomBytes(RANDOM_BYTES)
  const answer = serverPayload({
    selected: { message: { codec: JSON_CODEC }, crypto: { algorithm, serverRandom } },
  })
  return { payload: answer, suite: { algorithm, transcript: transcriptHash(payload, answer, crypto) } }
}

/** What the relay's answer to our hello `sent` chose. Throws LOGIN_REFUSED (its reason), WIRE_HELLO or MESSAGE_*. */
export function readServerHello(payload: Uint8Array, sent: Uint8Array, crypto: Crypto): Suite {
  const { selected, error } = read('ServerHello', serverShape, payload) as Values<typeof SERVER_FIELDS>
  if (error !== '') throw new FrpError('LOGIN_REFUSED', error)
  const { codec } = selected.message
  if (codec !== JSON_CODEC) throw unfit(`message codec ${JSON.stringify(codec)}, expected "${JSON_CODEC}"`)
  const { algorithm, serverRandom } = selected.crypto
  if (!isKnown(algorithm)) {
    throw unfit(`crypto algorithm ${JSON.stringify(algorithm)}, expected one of ${AEAD_ALGORITHMS.join(', ')}`)
  }
  if (serverRandom.length !== RANDOM_BYTES) {
    throw unfit(`serverRandom of ${serverRandom.length} bytes, expected ${RANDOM_BYTES}`)
  }
  return { algorithm, transcript: transcriptHash(sent, payload, crypto) }
}

/** SHA-256 over both payloads as they were sent (pkg/proto/wire, HashCryptoTranscript). */
export function transcriptHash(client: Uint8Array, server: Uint8Array, crypto: Crypto): Uint8Array {
  return crypto.sha256(
    concat([
      utf8.encode('frp wire v2 crypto transcript'),
      ...part('client hello', client),
      ...part('server hello', server),
    ]),
  )
}

function part(label: string, payload: Uint8Array): Uint8Array[] {
  const length = new Uint8Array(8)
  new DataView(length.buffer).setUint32(4, payload.length)
  return [utf8.encode(`\0${label}\0`), length, payload]
}

function readClientHello(payload: Uint8Array): Values<typeof CLIENT_FIELDS> {
  return read('ClientHello', clientShape, payload) as Values<typeof CLIENT_FIELDS> // the shape is of these fields
}

function read(name: string, shape: typeof clientShape | typeof serverShape, payload: Uint8Array): unknown {
  const node = json(name, payload)
  const hello: Record<string, unknown> = {}
  shape.zero(hello)
  if (node instanceof JsonObject) shape.read(node, name, hello)
  // Go takes `null` for a hello that says nothing.
  else if (node !== null) throw wrong(name, 'an object', node)
  return hello
}

function json(name: string, payload: Uint8Array): JsonNode {
  try {
    return readJson(payload)
  } catch (error) {
    throw new FrpError('MESSAGE_JSON', `${name}: ${messageOf(error)}`, { cause: error })
  }
}

function serverPayload(hello: Givens<typeof SERVER_FIELDS>): Uint8Array {
  return utf8.encode(serverShape.write(hello))
}

function refusal(text: string): HelloRefusal {
  const payload = serverPayload({ selected: { message: { codec: JSON_CODEC } }, error: text })
  return { error: new FrpError('WIRE_HELLO', `ClientHello: ${text}`), payload }
}

function unfit(what: string): FrpError {
  return new FrpError('WIRE_HELLO', `ServerHello: ${what}`)
}

function isKnown(algorithm: string): algorithm is AeadAlgorithm {
  return AEAD_ALGORITHMS.some((known) => known === algorithm)
}
