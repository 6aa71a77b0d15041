import type { Dirent } from 'node:fs'

/** The page of a folder: names in order, folders with a slash. */
export function listingOf(entries: readonly Dirent[]): string {
  const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort()
  const lines = names.map((name) => `<a href="${linkTo(name)}">${escaped(name)}</a>\n`)
  const head = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n'
  return `${head}<pre>\n${lines.join('')}</pre>\n`
}

/** Each part by itself, so that no name reads as a scheme, a query or a way up. */
function linkTo(name: string): string {
  return name.endsWith('/') ? `${encodeURIComponent(name.slice(0, -1))}/` : encodeURIComponent(name)
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' }

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}
