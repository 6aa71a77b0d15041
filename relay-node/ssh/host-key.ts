import { createPrivateKey, generateKeyPair } from 'node:crypto'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { FrpError, messageOf } from '../../contract/errors.ts'
import { isMissing } from '../../node/replace-file.ts'

/** frp pkg/transport/tls.go NewRandomPrivateKey. */
const RSA_BITS = 2048
/** Nobody but the relay reads it. */
const KEY_MODE = 0o600

/** Where the key is; frp's sshTunnelGateway. */
export interface HostKeyFiles {
  /** "" means: `autoGenPrivateKeyPath`, made when it is not there or empty. */
  privateKeyFile: string
  /** "" means: a key for this run only. */
  autoGenPrivateKeyPath: string
}

/** The key by which ssh clients know the relay, as PEM that ssh2 reads. Rejects with CONFIG_FILE. */
export async function hostKey({ privateKeyFile, autoGenPrivateKeyPath }: HostKeyFiles): Promise<string> {
  try {
    if (privateKeyFile !== '') return readableKey(await readFile(privateKeyFile, 'utf8'))
    const known = autoGenPrivateKeyPath === '' ? '' : await readIfThere(autoGenPrivateKeyPath)
    if (known !== '') return readableKey(known)
    const made = await newKey()
    if (autoGenPrivateKeyPath !== '') {
      await writeFile(autoGenPrivateKeyPath, made, { mode: KEY_MODE })
      // The mode counts for a new file only, and an empty one may have been there.
      await chmod(autoGenPrivateKeyPath, KEY_MODE)
    }
    return made
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `create ssh gateway error: ${messageOf(error)}`, { cause: error })
  }
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return ''
    throw error
  }
}

async function newKey(): Promise<string> {
  const { privateKey } = await promisify(generateKeyPair)('rsa', {
    modulusLength: RSA_BITS,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  })
  return privateKey
}

/** ssh2 reads no PKCS#8, which Go and today's openssl write. */
function readableKey(pem: string): string {
  if (!pem.includes('-----BEGIN PRIVATE KEY-----')) return pem
  const key = createPrivateKey(pem)
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return key.export({ type: 'pkcs1', format: 'pem' }).toString()
    case 'ec':
      return key.export({ type: 'sec1', format: 'pem' }).toString()
    default:
      throw new FrpError(
        'CONFIG_FILE',
        `a PKCS#8 key of type ${key.asymmetricKeyType}: ssh-keygen -p -f FILE turns it into the form of OpenSSH`,
      )
  }
}
