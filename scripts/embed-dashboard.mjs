// Writes dashboard/pages.ts: the files of the status page as text, so that Node and a Worker serve the same bytes
// without reading files. Run by the build; a test holds the written file against the files.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = join(import.meta.dirname, '../dashboard')

/** The path below the page's folder, the file, and its media type. */
const FILES = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/status.css', 'status.css', 'text/css; charset=utf-8'],
  ['/icon.svg', 'icon.svg', 'image/svg+xml'],
  ['/status.js', 'status.js', 'text/javascript; charset=utf-8'],
]

/** The text of pages.ts. */
export function pagesModule() {
  const entries = FILES.map(([path, file, type]) => {
    const text = readFileSync(join(folder, file), 'utf8')
    const literal = text.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${')
    return `  '${path}': {\n    type: '${type}',\n    text: \`${literal}\`,\n  },\n`
  })
  return (
    '/** The files of the status page, by path; written by scripts/embed-dashboard.mjs from the files beside it. */\n' +
    `export const PAGES: Readonly<Record<string, { type: string; text: string }>> = {\n${entries.join('')}}\n`
  )
}

if (process.argv[1] === import.meta.filename) writeFileSync(join(folder, 'pages.ts'), pagesModule())
