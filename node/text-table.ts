import { escapeControls } from './log.ts'

/** A column: its head, and the key of an entry that it shows. */
export type Column = readonly [head: string, key: string]

/**
 * Entries of an API's answer as the lines of a table, heads first; each column is as wide as its widest cell, and two
 * blanks. What is in a cell comes from others: nothing of it moves the cursor of a terminal.
 */
export function textTable(columns: readonly Column[], entries: readonly unknown[]): string[] {
  const rows = [columns.map(([head]) => head), ...entries.map((entry) => columns.map(([, key]) => cell(entry, key)))]
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => lengthOf(row[column] ?? ''))) + 2)
  return rows.map((row) =>
    row.map((text, column) => text + ' '.repeat((widths[column] ?? 0) - lengthOf(text))).join(''),
  )
}

function cell(entry: unknown, key: string): string {
  const fields = new Map<string, unknown>(Object.entries(typeof entry === 'object' && entry !== null ? entry : {}))
  return escapeControls(String(fields.get(key) ?? ''))
}

/** In characters, not in halves of them. */
function lengthOf(text: string): number {
  return [...text].length
}
