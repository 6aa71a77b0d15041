import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { loadFrpc, loadFrps } from '../../config/load.ts'

const folder = new URL('../../examples/', import.meta.url)
const names = readdirSync(folder)
const file = (name: string) => ({ text: readFileSync(new URL(name, folder), 'utf8'), fileName: name })
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

describe('the examples', () => {
  it.each(names.filter((name) => name.includes('.frp')))(
    '%s is a configuration without a fault or a warning',
    (name) => {
      const [stem = '', program] = name.split('.')
      const ours = `${stem}.edgefrp.toml`
      const source = { ...file(name), envs: {}, ...(names.includes(ours) ? { edgefrp: file(ours) } : {}) }
      const { warnings } = program === 'frps' ? loadFrps(source) : loadFrpc(source)
      // The one of frp itself about INI.
      expect(warnings.filter((line) => !line.startsWith('ini format is deprecated'))).toEqual([])
    },
  )

  it('are all in the README', () => {
    expect(names.length).toBeGreaterThan(5)
    for (const name of names) expect(readme).toContain(`(examples/${name})`)
  })
})
