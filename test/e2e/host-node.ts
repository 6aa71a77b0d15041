import { existsSync } from 'node:fs'
import { delimiter, join, sep } from 'node:path'

/**
 * The machine's own `node`, with which users run what `npm run build` made. npm puts `node_modules/.bin` in front
 * of the PATH, and the newer Node of the tool chain lies there. Falls back to the one that runs the tests.
 */
export function hostNode(): string {
  const bin = join('node_modules', '.bin')
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    if (folder === '' || folder.endsWith(sep + bin) || folder.endsWith('node-gyp-bin')) continue
    const path = join(folder, process.platform === 'win32' ? 'node.exe' : 'node')
    if (existsSync(path)) return path
  }
  return process.execPath
}
