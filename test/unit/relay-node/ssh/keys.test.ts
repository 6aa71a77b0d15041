import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { afterAll, describe, expect, it } from 'vitest'
import { readAuthorizedKeys } from '../../../../relay-node/ssh/authorized-keys.ts'
import { hostKey } from '../../../../relay-node/ssh/host-key.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-ssh-keys-'))
afterAll(() => rmSync(folder, { recursive: true }))

const KEY = 'AAAAC3NzaC1lZDI1NTE5AAAAIGqkMHRZmJJe0dpjQZDUNXa3lnaxbZHUoMtbAdWBZhSF'
const RSA = 'AAAAB3NzaC1yc2EAAAADAQABAAAAgQC7'

describe('an authorized_keys file', () => {
  it('gives each key its comment, whatever stands around it', () => {
    const text = [
      '# a comment',
      `# ssh-rsa ${RSA} was here`,
      '',
      `ssh-ed25519 ${KEY} alice`,
      `from="10.0.0.*",command="echo \\"ssh-rsa ${RSA}x\\" now" ssh-rsa ${RSA} bob at home\r`,
      'ssh-rsa not-base64 eve',
      'nonsense',
    ].join('\n')
    expect([...readAuthorizedKeys(text)]).toEqual([
      [KEY, 'alice'],
      [RSA, 'bob at home'],
    ])
    expect([...readAuthorizedKeys(`ssh-ed25519 ${KEY}`)]).toEqual([[KEY, '']])
  })
})

describe('the host key', () => {
  it('is made once, for its owner alone, and used from then on', async () => {
    const path = join(folder, 'made')
    const made = await hostKey({ privateKeyFile: '', autoGenPrivateKeyPath: path })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'utf8')).toBe(made)
    expect(made).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/)
    expect(await hostKey({ privateKeyFile: '', autoGenPrivateKeyPath: path })).toBe(made)
  })

  it('replaces an empty file, and closes it to others', async () => {
    const path = join(folder, 'empty')
    writeFileSync(path, '', { mode: 0o644 })
    await hostKey({ privateKeyFile: '', autoGenPrivateKeyPath: path })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'utf8')).not.toBe('')
  })

  it('is read in the forms that openssl writes', async () => {
    const path = join(folder, 'given')
    const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
    writeFileSync(path, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pkcs8))
    const pem = await hostKey({ privateKeyFile: path, autoGenPrivateKeyPath: '' })
    expect(ssh2.utils.parseKey(pem)).toMatchObject({ type: 'ecdsa-sha2-nistp256' })
    writeFileSync(path, generateKeyPairSync('ed25519').privateKey.export(pkcs8))
    await expect(hostKey({ privateKeyFile: path, autoGenPrivateKeyPath: '' })).rejects.toThrow('type ed25519')
  })

  it('stops the start with the words of frp when it cannot be read or stored', async () => {
    const missing = { privateKeyFile: join(folder, 'missing'), autoGenPrivateKeyPath: '' }
    await expect(hostKey(missing)).rejects.toThrow(/^create ssh gateway error: ENOENT/)
    const nowhere = { privateKeyFile: '', autoGenPrivateKeyPath: join(folder, 'no-folder', 'key') }
    await expect(hostKey(nowhere)).rejects.toMatchObject({ code: 'CONFIG_FILE' })
  })
})
