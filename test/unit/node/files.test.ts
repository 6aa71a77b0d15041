import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readConfig as readFrpc } from '../../../client/cli/config-file.ts'
import { replaceFile } from '../../../node/replace-file.ts'
import { readConfig as readFrps } from '../../../relay-node/config-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'edgefrp-files-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a configuration file that is not there', () => {
  it.each([
    ['frpc', readFrpc],
    ['frps', readFrps],
  ] as const)("is told by %s in Go's words, as frp does", (_, read) => {
    const options = { strict: true, allowUnsafe: [], edgefrp: undefined }
    expect(() => read('/no/such.toml', options)).toThrow('open /no/such.toml: no such file or directory')
    expect(() => read(folder, options)).toThrow(`open ${folder}: is a directory`)
  })
})

describe('a file of ours that is replaced', () => {
  it('is new, for us alone, in a folder that is made, and leaves nothing beside it', () => {
    const path = join(folder, 'deep', 'state.json')
    replaceFile(path, 'first')
    replaceFile(path, 'second')
    expect([readFileSync(path, 'utf8'), readdirSync(join(folder, 'deep'))]).toEqual(['second', ['state.json']])
    if (process.platform !== 'win32') expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is never written through a link that lies in wait', () => {
    const [path, other] = [join(folder, 'a.json'), join(folder, 'other')]
    writeFileSync(other, 'kept')
    symlinkSync(other, `${path}.tmp`)
    replaceFile(path, 'ours')
    expect([readFileSync(other, 'utf8'), readFileSync(path, 'utf8')]).toEqual(['kept', 'ours'])
  })
})
