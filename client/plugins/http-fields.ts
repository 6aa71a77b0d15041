import { Fields } from '../../protocol/http1/head.ts'

/** Fields as node:http and node:http2 read them: name, value, name, value. */
export function fieldsOf(raw: readonly string[]): Fields {
  const fields = new Fields()
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    // HTTP/2's own fields (`:path`) are the message's, not its fields.
    if (!name.startsWith(':')) fields.appendChecked(name, raw[i + 1] ?? '')
  }
  return fields
}

/** Fields as node:http takes them without changing order and spelling. */
export function rawOf(fields: Fields): string[] {
  const raw: string[] = []
  for (const [name, value] of fields) raw.push(name, value)
  return raw
}

/** Fields as node:http2 takes them: repeated ones as a list. */
export function recordOf(fields: Fields): Record<string, string[]> {
  const record: Record<string, string[]> = {}
  for (const [name, value] of fields) {
    const list = record[name.toLowerCase()]
    if (list === undefined) record[name.toLowerCase()] = [value]
    else list.push(value)
  }
  return record
}

/** What `removeHopByHop` lets pass: the one protocol that is asked for. */
export function upgradeOf(upgrade: string | undefined): { upgrade?: string; upgrades?: string[] } {
  return upgrade === undefined ? {} : { upgrade, upgrades: [upgrade.toLowerCase()] }
}
