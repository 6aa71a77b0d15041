import { constants } from 'node:fs'
import { type FileHandle, open, readdir, stat } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join, resolve } from 'node:path'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { Log } from '../../contract/runtime.ts'
import { parseTarget } from '../../protocol/http1/authority.ts'
import type { Backend } from '../proxies/proxy.ts'
import { Credentials } from './credentials.ts'
import { httpBackend } from './http-backend.ts'
import type { PluginParts } from './plugin.ts'
import { sendFile } from './static-content.ts'
import { listingOf } from './static-listing.ts'

/** Not to wait for the writer of a pipe that took the file's place; Windows has no such flag. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)
const INDEX = 'index.html'
/** What the system says of a path that leads nowhere. */
const NOT_THERE = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP', 'EINVAL'])

/** `static_file`: the files below `localPath`, as Go's http.FileServer shows them. Rejects if that is no folder. */
export async function staticFile(parts: PluginParts<'static_file'>): Promise<Backend> {
  const { options, runtime, log } = parts
  const root = resolve(options.localPath)
  await checkFolder(root)
  const credentials = new Credentials(options.httpUser, options.httpPassword, runtime)
  const files = new StaticFiles(root, options.stripPrefix, log)
  return httpBackend(parts, {
    onRequest: (request, response) => {
      const shown = request.headers.authorization
      const isAllowed = credentials.isRightHeader(shown)
      const answer = isAllowed
        ? files.serve(request, response)
        : (shown === undefined ? Promise.resolve() : credentials.wrongOne()).then(() => unauthorized(response))
      answer.catch((error: unknown) => {
        if (!response.destroyed) log.warn(`static_file: ${messageOf(error)}`)
        if (response.headersSent) response.destroy()
        else plain(response, 500, 'Internal Server Error')
      })
    },
    close: () => undefined,
  })
}

async function checkFolder(root: string): Promise<void> {
  let isFolder: boolean
  try {
    isFolder = (await stat(root)).isDirectory()
  } catch (error) {
    throw new FrpError('CONFIG_FILE', `plugin.localPath ${root}: ${messageOf(error)}`, { cause: error })
  }
  if (!isFolder) throw new FrpError('CONFIG_FILE', `plugin.localPath ${root}: not a folder`)
}

class StaticFiles {
  private readonly root: string
  private readonly prefix: string
  private readonly log: Log

  constructor(root: string, stripPrefix: string, log: Log) {
    this.root = root
    const inner = stripPrefix.replace(/^\/+|\/+$/g, '')
    this.prefix = inner === '' ? '/' : `/${inner}/`
    this.log = log
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD')
      return plain(response, 405, 'Method Not Allowed')
    }
    const path = decodedPath(method, url)
    if (path === undefined) return plain(response, 400, 'Bad Request')
    if (!path.startsWith(this.prefix)) return plain(response, 404, '404 page not found')
    const query = /\?.*$/.exec(url)?.[0] ?? ''
    try {
      await this.show(request, response, path, query)
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (response.headersSent || typeof code !== 'string') throw error
      if (NOT_THERE.has(code)) return plain(response, 404, '404 page not found')
      if (code !== 'EACCES' && code !== 'EPERM') throw error
      this.log.debug(`static_file: ${messageOf(error)}`)
      return plain(response, 403, '403 Forbidden')
    }
  }

  /** `path` is decoded, and has neither `..` nor an empty part: nothing above the folder can be named. */
  private async show(request: IncomingMessage, response: ServerResponse, path: string, query: string): Promise<void> {
    const below = path.slice(this.prefix.length).split('/').filter(Boolean)
    const name = join(this.root, ...below)
    const isFolder = (await stat(name)).isDirectory()
    const isFolderPath = path.endsWith('/')
    const last = encodeURIComponent(below.at(-1) ?? '')
    if (!isFolder) {
      if (path.endsWith(`/${INDEX}`)) return redirect(response, `./${query}`)
      if (isFolderPath) return redirect(response, `../${last}${query}`)
      return this.sendNamed(request, response, name)
    }
    if (!isFolderPath) return redirect(response, `${last}/${query}`)
    const index = join(name, INDEX)
    const hasIndex = await stat(index).then(
      (found) => found.isFile(),
      () => false, // no such file, or none of ours: the folder is shown
    )
    if (hasIndex) return this.sendNamed(request, response, index)
    const page = listingOf(await readdir(name, { withFileTypes: true }))
    const length = Buffer.byteLength(page)
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Content-Length': length })
    response.end(request.method === 'HEAD' ? undefined : page)
  }

  private async sendNamed(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const handle: FileHandle = await open(name, OPEN_FLAGS)
    try {
      const stats = await handle.stat()
      if (stats.isFile()) await sendFile(request, response, { handle, name, stats })
      else plain(response, 404, '404 page not found')
    } finally {
      await handle.close()
    }
  }
}

/** The path of a target without `.`, `..` and empty parts; undefined if it can be read in more ways than one. */
function decodedPath(method: string, url: string): string | undefined {
  let path: string
  try {
    path = decodeURIComponent(parseTarget(method, url).path.replace(/[?].*$/s, ''))
  } catch {
    return undefined // not percent-encoded, or no path
  }
  if (path.includes('\0')) return undefined
  const isWindows = process.platform === 'win32'
  const parts: string[] = []
  for (const part of path.split('/')) {
    // As Go: these would be separators, drives and streams there.
    if (isWindows && /[\\:]/.test(part)) return undefined
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  const isFolderPath = /(^|\/)\.{0,2}$/.test(path)
  return parts.length === 0 ? '/' : `/${parts.join('/')}${isFolderPath ? '/' : ''}`
}

function redirect(response: ServerResponse, location: string): void {
  response.writeHead(301, { Location: location, 'Content-Length': 0 })
  response.end()
}

function unauthorized(response: ServerResponse): void {
  response.setHeader('WWW-Authenticate', 'Basic realm="Restricted"')
  plain(response, 401, 'Unauthorized')
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': text.length + 1 })
  response.end(`${text}\n`)
}
