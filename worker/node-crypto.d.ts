// What worker/crypto.ts uses of workerd's node:crypto. The types of Node itself would bring all its globals along.
declare module 'node:crypto' {
  interface Hash {
    update(data: Uint8Array): Hash
    digest(): Uint8Array
  }
  interface Cipher {
    setAutoPadding(isPadding: boolean): void
    update(data: Uint8Array): Uint8Array
    final(): Uint8Array
    setAAD(data: Uint8Array): void
    getAuthTag(): Uint8Array
  }
  interface Decipher {
    update(data: Uint8Array): Uint8Array
    final(): Uint8Array
    setAAD(data: Uint8Array): void
    setAuthTag(tag: Uint8Array): void
  }
  export function createHash(algorithm: string): Hash
  export function createCipheriv(
    algorithm: string,
    key: Uint8Array,
    iv: Uint8Array | null,
    options?: { authTagLength: number },
  ): Cipher
  export function createDecipheriv(
    algorithm: string,
    key: Uint8Array,
    iv: Uint8Array,
    options: { authTagLength: number },
  ): Decipher
  export function hkdfSync(
    digest: string,
    key: Uint8Array,
    salt: Uint8Array,
    info: Uint8Array,
    length: number,
  ): ArrayBuffer
  export function pbkdf2Sync(
    password: Uint8Array,
    salt: Uint8Array,
    iterations: number,
    length: number,
    digest: string,
  ): Uint8Array
  export function randomBytes(length: number): Uint8Array
  export function timingSafeEqual(a: Uint8Array, b: Uint8Array): boolean
}
