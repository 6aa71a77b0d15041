import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CleanUp, converse } from '../../e2e/client-rig.ts'
import { deferred, openPlugin, type PluginRig } from './plugin-rig.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

const MODIFIED = new Date('2026-01-02T03:04:05.600Z')
const DIGITS = '0123456789'
const BIG_BYTES = 32 * 1024 * 1024
let folder = ''
let root = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'edgefrp-files-'))
  cleanUp.add(() => rmSync(folder, { recursive: true }))
  root = join(folder, 'www')
  mkdirSync(join(root, 'site'), { recursive: true })
  mkdirSync(join(root, 'a folder'))
  writeFileSync(join(folder, 'secret'), 'SECRET')
  writeFileSync(join(root, 'digits.txt'), DIGITS)
  writeFileSync(join(root, 'LICENSE'), 'words\n')
  writeFileSync(join(root, 'blob'), Uint8Array.of(0, 1, 2))
  writeFileSync(join(root, 'empty.css'), '')
  writeFileSync(join(root, '<b>&"\'.txt'), '')
  writeFileSync(join(root, 'site/index.html'), '<p>index</p>')
  writeFileSync(join(root, 'long.txt'), 'line\n'.repeat(1_000))
  utimesSync(join(root, 'digits.txt'), MODIFIED, MODIFIED)
})

function openFiles(more: object = {}): Promise<PluginRig> {
  return openPlugin(cleanUp, { type: 'static_file', localPath: root, ...more })
}

interface Answer {
  status: number
  fields: Record<string, string>
  body: Buffer
}

/** The target goes out as it is written: no client in between that would clean it. */
async function get(port: number, target: string, fields: string[] = [], method = 'GET'): Promise<Answer> {
  const head = [`${method} ${target} HTTP/1.1`, 'Host: files', 'Connection: close', ...fields, '', '']
  const { bytes } = await converse(port, Buffer.from(head.join('\r\n'), 'latin1'))
  const end = bytes.indexOf('\r\n\r\n')
  const [line = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const pairs = lines.map((text) => [text.slice(0, text.indexOf(':')).toLowerCase(), text.replace(/^[^:]*: /, '')])
  return { status: Number(line.split(' ')[1]), fields: Object.fromEntries(pairs), body: bytes.subarray(end + 4) }
}

describe('static_file', () => {
  it('shows files with their types, length and time', async () => {
    const { port, idle } = await openFiles()
    const { status, fields, body } = await get(port, '/digits.txt?x=1')
    expect([status, body.toString()]).toEqual([200, DIGITS])
    expect(fields).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '10',
      'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT',
      'accept-ranges': 'bytes',
    })
    const typeOf = async (name: string): Promise<string | undefined> =>
      (await get(port, `/${name}`)).fields['content-type']
    expect(await typeOf('LICENSE')).toBe('text/plain; charset=utf-8')
    expect(await typeOf('blob')).toBe('application/octet-stream')
    expect(await typeOf('empty.css')).toBe('text/css; charset=utf-8')
    expect((await get(port, '/digits.txt', [], 'HEAD')).body.length).toBe(0)
    await idle()
  })

  it('shows a folder as a list in order, and its index.html if it has one', async () => {
    const { port } = await openFiles()
    const list = (await get(port, '/')).body.toString()
    expect(list).toContain('<a href="%3Cb%3E%26%22\'.txt">&lt;b&gt;&amp;&#34;&#39;.txt</a>\n')
    expect(list).toContain('<a href="a%20folder/">a folder/</a>\n<a href="blob">blob</a>')
    expect((await get(port, '/site/')).body.toString()).toBe('<p>index</p>')
  })

  it('sends each file and folder to the one path that it has', async () => {
    const { port } = await openFiles()
    const location = async (target: string): Promise<unknown[]> => {
      const { status, fields } = await get(port, target)
      return [status, fields['location']]
    }
    expect(await location('/site?q=1')).toEqual([301, 'site/?q=1'])
    expect(await location('/a%20folder')).toEqual([301, 'a%20folder/'])
    expect(await location('/site/index.html')).toEqual([301, './'])
    expect(await location('/digits.txt/')).toEqual([301, '../digits.txt'])
    // No host of a stranger's can come of it.
    expect(await location('//evil.example/..//site')).toEqual([301, 'site/'])
  })

  it('answers a range with that part, and what is none with 416', async () => {
    const { port } = await openFiles()
    const part = async (range: string, ...fields: string[]): Promise<unknown[]> => {
      const answer = await get(port, '/digits.txt', [`Range: ${range}`, ...fields])
      return [answer.status, answer.body.toString(), answer.fields['content-range']]
    }
    expect(await part('bytes=2-4')).toEqual([206, '234', 'bytes 2-4/10'])
    expect(await part('bytes=7-')).toEqual([206, '789', 'bytes 7-9/10'])
    expect(await part('bytes=-2')).toEqual([206, '89', 'bytes 8-9/10'])
    expect(await part('bytes=-99')).toEqual([206, DIGITS, 'bytes 0-9/10'])
    expect(await part('bytes=5-99')).toEqual([206, '56789', 'bytes 5-9/10'])
    for (const none of ['bytes=10-', 'bytes=4-3', 'bytes=-0', 'bytes=x', 'lines=1-2']) {
      expect(await part(none)).toEqual([416, '', 'bytes */10'])
    }
    expect(await part('bytes=0-1,4-5')).toEqual([200, DIGITS, undefined])
    expect(await part('bytes=2-4', 'If-Range: Fri, 02 Jan 2026 03:04:05 GMT')).toEqual([206, '234', 'bytes 2-4/10'])
    expect(await part('bytes=2-4', 'If-Range: Fri, 02 Jan 2026 03:04:04 GMT')).toEqual([200, DIGITS, undefined])
  })

  it('says when a file is the same still', async () => {
    const { port } = await openFiles()
    const status = async (...fields: string[]): Promise<number> => (await get(port, '/digits.txt', fields)).status
    expect(await status('If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT')).toBe(304)
    expect(await status('If-Modified-Since: Fri, 02 Jan 2026 03:04:04 GMT')).toBe(200)
    expect(await status('If-Modified-Since: yesterday')).toBe(200)
    expect(await status('If-Unmodified-Since: Fri, 02 Jan 2026 03:04:04 GMT')).toBe(412)
    expect(await status('If-Unmodified-Since: Fri, 02 Jan 2026 03:04:05 GMT')).toBe(200)
  })

  it('packs texts for who takes it, and nothing else', async () => {
    const { port } = await openFiles()
    const packed = await get(port, '/long.txt', ['Accept-Encoding: br, gzip;q=0.5'])
    expect(packed.fields).toMatchObject({ 'content-encoding': 'gzip', vary: 'Accept-Encoding' })
    expect(await get(port, '/long.txt', ['Accept-Encoding: gzip;q=0'])).toMatchObject({ body: { length: 5_000 } })
    expect((await get(port, '/digits.txt', ['Accept-Encoding: gzip'])).body.toString()).toBe(DIGITS)
    const size = packed.body.indexOf('\r\n')
    const bytes = Number.parseInt(packed.body.subarray(0, size).toString(), 16)
    // The first chunk begins with gzip's own mark.
    expect([bytes >= 10, ...packed.body.subarray(size + 2, size + 4)]).toEqual([true, 0x1f, 0x8b])
  })

  it('answers other methods, other paths and other prefixes with what they are', async () => {
    const { port } = await openFiles({ stripPrefix: 'static' })
    const status = async (target: string, method?: string): Promise<number> =>
      (await get(port, target, [], method)).status
    expect(await status('/static/digits.txt')).toBe(200)
    expect(await status('/digits.txt')).toBe(404)
    expect(await status('/static')).toBe(404)
    expect(await status('/static/')).toBe(200)
    expect(await status('/static/../digits.txt')).toBe(404)
    expect(await status('/static/none')).toBe(404)
    expect(await status('/static/digits.txt/none')).toBe(404)
    expect(await status(`/static/${'x'.repeat(300)}`)).toBe(404)
    expect(await status('/static/%')).toBe(400)
    expect(await status('/static/a%00b')).toBe(400)
    expect(await status('/static/digits.txt', 'DELETE')).toBe(405)
  })

  it('wants user and password where they are set', async () => {
    const { port } = await openFiles({ httpUser: 'u', httpPassword: 'p' })
    const basic = (text: string): string => `Authorization: Basic ${Buffer.from(text).toString('base64')}`
    const none = await get(port, '/digits.txt')
    expect([none.status, none.fields['www-authenticate']]).toEqual([401, 'Basic realm="Restricted"'])
    expect((await get(port, '/digits.txt', [basic('u:wrong')])).status).toBe(401)
    expect((await get(port, '/none', [basic('u:')])).status).toBe(401)
    expect((await get(port, '/digits.txt', [basic('u:p')])).body.toString()).toBe(DIGITS)
  })

  it('never shows what is not below its folder, whatever the path', async () => {
    const { port } = await openFiles()
    const piece = fc.constantFrom('..', '.', '', '%2e%2e', '%2E.', '..%2f', '%2f', '\\', '..%5c', 'site', 'secret', '~')
    const path = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => `/${pieces.join('/')}`)
    await fc.assert(
      fc.asyncProperty(path, async (target) => {
        const { status, body } = await get(port, `${target}/secret`)
        expect(status).toBeGreaterThanOrEqual(200)
        expect(body.toString()).not.toContain('SECRET')
      }),
      { numRuns: 100 },
    )
  })

  it('follows links, as Go does', async () => {
    symlinkSync(join(folder, 'secret'), join(root, 'linked.txt'))
    const { port } = await openFiles()
    expect((await get(port, '/linked.txt')).body.toString()).toBe('SECRET')
  })

  it('reads a large file only as fast as the user takes it', async () => {
    writeFileSync(join(root, 'big'), Buffer.alloc(BIG_BYTES, 1))
    const { user, idle } = await openFiles()
    const stream = user()
    let received = 0
    const first = deferred<void>()
    const all = deferred<void>()
    let isTaking = false
    stream.attach({
      onData: (chunk) => {
        received += chunk.length
        if (received >= BIG_BYTES) all.resolve()
        first.resolve()
        return isTaking
      },
      onEnd: () => stream.end(),
      onDrain: () => undefined,
      onClose: () => all.resolve(),
    })
    stream.write(Buffer.from('GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))
    await first.promise
    // A write that is not answered ends the reading: what comes meanwhile is bounded by Node's own marks.
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(received).toBeLessThan(1024 * 1024)
    isTaking = true
    stream.resume()
    await all.promise
    expect(received).toBeGreaterThanOrEqual(BIG_BYTES)
    await idle()
  })

  it('breaks off when a file became shorter meanwhile', async () => {
    const path = join(root, 'shrinking')
    writeFileSync(path, Buffer.alloc(BIG_BYTES))
    const { user, idle } = await openFiles()
    const stream = user()
    const closed = deferred<Error | undefined>()
    let isTaking = false
    const first = deferred<void>()
    stream.attach({
      onData: () => {
        first.resolve()
        return isTaking
      },
      onEnd: () => stream.end(),
      onDrain: () => undefined,
      onClose: closed.resolve,
    })
    stream.write(Buffer.from('GET /shrinking HTTP/1.1\r\nHost: x\r\n\r\n'))
    await first.promise
    truncateSync(path, BIG_BYTES / 2)
    isTaking = true
    stream.resume()
    expect(await closed.promise).toMatchObject({ code: 'STREAM_RESET' })
    await idle()
  })

  it('does not open without its folder', async () => {
    await expect(openFiles({ localPath: join(root, 'none') })).rejects.toThrow(/^plugin.localPath .*none: ENOENT/)
    await expect(openFiles({ localPath: join(root, 'blob') })).rejects.toThrow(/^plugin.localPath .*: not a folder$/)
  })
})
