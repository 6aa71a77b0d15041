import { describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../../../node/crypto.ts'
import { readCommand } from '../../../../relay-node/ssh/command.ts'

const read = (text: string) => readCommand(text, nodeCrypto)

/** The fields of the request that are set. */
function asked(text: string) {
  const command = read(text)
  if ('help' in command) throw new Error(command.help)
  const { proxy, ...rest } = command
  const set = Object.entries(proxy).filter(([, value]) => {
    return value !== '' && value !== 0 && (typeof value !== 'object' || Object.keys(value).length > 0)
  })
  return { ...rest, proxy: Object.fromEntries(set) }
}

describe('the command of an ssh client', () => {
  it('is a proxy type and flags, in either spelling and every form of pflag', () => {
    const expected = {
      type: 'tcp',
      proxyName: 'web',
      user: 'me',
      clientId: 'c1',
      token: 'a=b',
      proxy: { proxy_type: 'tcp', remote_port: 6000, metas: { a: '1', b: '2=3' }, annotations: { c: 'd' } },
    }
    const rest = '--metadatas a=1,b=2=3 --annotations c=d --client-id c1 -u me'
    expect(asked(`tcp --proxy_name web --remote_port 6000 --token a=b ${rest}`)).toEqual(expected)
    expect(asked(`tcp --proxy-name=web --remote-port=6000 --token=a=b ${rest}`)).toEqual(expected)
    expect(asked(`tcp -n web -r6000 -ta=b  ${rest} more -- -x`)).toEqual(expected)
  })

  it('has the flags of its type', () => {
    expect(asked('http -n h -d a.b,c.d -d e.f --sd s --locations /x,/y --http_user u --http_pwd -p')).toMatchObject({
      proxy: {
        proxy_type: 'http',
        custom_domains: ['a.b', 'c.d', 'e.f'],
        subdomain: 's',
        locations: ['/x', '/y'],
        http_user: 'u',
        http_pwd: '-p',
      },
    })
    expect(asked('http --host_header_rewrite x').proxy).toEqual({ proxy_type: 'http', host_header_rewrite: 'x' })
    expect(asked('https --custom-domain a.b').proxy).toEqual({ proxy_type: 'https', custom_domains: ['a.b'] })
    expect(asked('tcpmux --mux httpconnect').proxy).toEqual({ proxy_type: 'tcpmux', multiplexer: 'httpconnect' })
    expect(asked('stcp --sk s --allow_users="*",b').proxy).toEqual({
      proxy_type: 'stcp',
      sk: 's',
      allow_users: ['*', 'b'],
    })
  })

  it('makes a name as frp does where none is given', () => {
    expect(asked('stcp').proxyName).toMatch(/^sshtunnel-stcp-[0-9a-f]{8}$/)
  })

  it.each([
    ['udp', 'invalid proxy type: udp, support types: [tcp http https tcpmux stcp]'],
    ['', 'invalid proxy type: , support types: [tcp http https tcpmux stcp]'],
    ['tcp --nope', 'unknown flag: --nope'],
    ['tcp --custom_domain a', 'unknown flag: --custom_domain'],
    ['tcp --local_port=1', 'unknown flag: --local_port'],
    ['tcp -z', "unknown shorthand flag: 'z' in -z"],
    ['tcp -=x', "unknown shorthand flag: '=' in -=x"],
    ['tcp -n', "flag needs an argument: 'n' in -n"],
    ['stcp --sk', 'flag needs an argument: --sk'],
    [
      'tcp -r abc',
      'invalid argument "abc" for "-r, --remote-port" flag: strconv.ParseInt: parsing "abc": invalid syntax',
    ],
    [
      'tcp -r 99999999999999999999',
      'invalid argument "99999999999999999999" for "-r, --remote-port" flag: ' +
        'strconv.ParseInt: parsing "99999999999999999999": value out of range',
    ],
    ['tcp --metadatas a', 'invalid argument "a" for "--metadatas" flag: a must be formatted as key=value'],
    [
      'tcp --metadatas a=1,b,c=',
      'invalid argument "a=1,b,c=" for "--metadatas" flag: b must be formatted as key=value',
    ],
    [
      'stcp --allow_users=a"b',
      'invalid argument "a\\"b" for "--allow-users" flag: parse error on line 1, column 2: bare " in non-quoted-field',
    ],
    [
      'stcp --allow_users="ab',
      'invalid argument "\\"ab" for "--allow-users" flag: ' +
        'parse error on line 1, column 4: extraneous or missing " in quoted-field',
    ],
  ])('is refused with the text of frp: %s', (text, why) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ message: why }))
  })

  it('is refused when it is longer than any command is', () => {
    expect(() => read(`tcp -n ${'x'.repeat(8_192)}`)).toThrow('a command of 8199 characters, the limit is 8192')
  })

  it('answers --help as frp does', () => {
    expect(read('tcp --help')).toEqual({
      help: `Usage:
  ssh v0@{address} [command] [flags]

Flags:
      --annotations stringToString   annotation key-value pairs (e.g., key1=value1,key2=value2) (default [])
      --client-id string             unique identifier for this frpc instance
      --metadatas stringToString     metadata key-value pairs (e.g., key1=value1,key2=value2) (default [])
  -n, --proxy-name string            proxy name
  -r, --remote-port int              remote port
  -t, --token string                 auth token
  -u, --user string                  user
`,
    })
    expect(read('tcpmux -h')).toHaveProperty('help', expect.stringContaining('      --mux string  '))
  })

  it('cannot make keys of the prototype', () => {
    expect(asked('tcp --metadatas __proto__=x').proxy).not.toHaveProperty('metas.x')
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })
})
