/** Base64 of an ssh public key: it begins with the length of the type's name. */
const KEY = /^AAAA[A-Za-z0-9+/]+={0,2}$/
const TYPE = /^(ssh|ecdsa|sk)-[a-z0-9@.-]+$/

/**
 * An authorized_keys file: public key in base64 -> its comment, which becomes the user of the proxies (frp
 * pkg/ssh/gateway.go). Options before a key are ignored, as in frp, and so is a line that holds no key.
 */
export function readAuthorizedKeys(text: string): Map<string, string> {
  const keys = new Map<string, string>()
  for (const line of text.split('\n')) {
    const words = wordsOf(line)
    const at = words.findIndex((word, i) => TYPE.test(word) && KEY.test(words[i + 1] ?? ''))
    const key = at < 0 ? undefined : words[at + 1]
    if (key !== undefined && !words[0]?.startsWith('#')) keys.set(key, words.slice(at + 2).join(' '))
  }
  return keys
}

/** Split at blanks, but not inside the quotes of an option. */
function wordsOf(line: string): string[] {
  return line.match(/(?:"(?:\\.|[^"\\])*"|[^\s"]|")+/g) ?? []
}
