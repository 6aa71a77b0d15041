/**
 * One line of comma-separated values as Go's encoding/csv reads it, which pflag uses for flags that take lists.
 * Throws Go's texts.
 */
export function readCsv(text: string): string[] {
  const fields: string[] = []
  let at = 0
  for (;;) {
    const { field, end } = text[at] === '"' ? quoted(text, at) : bare(text, at)
    fields.push(field)
    if (end >= text.length) return fields
    at = end + 1
  }
}

interface Field {
  field: string
  /** Where the comma is, or the end. */
  end: number
}

function bare(text: string, start: number): Field {
  const comma = text.indexOf(',', start)
  const end = comma < 0 ? text.length : comma
  const quote = text.slice(start, end).indexOf('"')
  if (quote >= 0) throw wrong(start + quote, 'bare " in non-quoted-field')
  return { field: text.slice(start, end), end }
}

function quoted(text: string, start: number): Field {
  let field = ''
  let at = start + 1
  for (;;) {
    const quote = text.indexOf('"', at)
    if (quote < 0) throw wrong(text.length, 'extraneous or missing " in quoted-field')
    field += text.slice(at, quote)
    const next = text[quote + 1]
    if (next === undefined || next === ',') return { field, end: quote + 1 }
    if (next !== '"') throw wrong(quote, 'extraneous or missing " in quoted-field')
    field += '"'
    at = quote + 2
  }
}

function wrong(index: number, why: string): Error {
  return new Error(`parse error on line 1, column ${index + 1}: ${why}`)
}
