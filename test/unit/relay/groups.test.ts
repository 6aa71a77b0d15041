import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nodeCrypto } from '../../../node/crypto.ts'
import type { NewProxy } from '../../../protocol/frp/messages.ts'
import { MemoryDirectory } from '../../../relay/directory.ts'
import { Groups } from '../../../relay/groups.ts'
import { HttpRouteTable } from '../../../relay/http-routes.ts'
import { Turns } from '../../../relay/turns.ts'

function member(group: string, key: string): NewProxy {
  return { group, group_key: key } as NewProxy // the fields that a group reads
}

describe('Groups', () => {
  it('lets in who asks for the same with the same key', () => {
    const groups = new Groups(nodeCrypto)
    groups.join('http', member('web', 'k'), ['a.example.com', '/', ''])
    groups.join('http', member('web', 'k'), ['a.example.com', '/', ''])
    expect(groups.size).toBe(1)
  })

  it("says with frp's texts what is different, and that before the key", () => {
    const groups = new Groups(nodeCrypto)
    groups.join('tcp', member('g', 'k'), [6000])
    groups.join('https', member('g', 'k'), ['a.example.com'])
    expect(() => groups.join('tcp', member('g', 'other'), [6001])).toThrow('group should have same remote port')
    expect(() => groups.join('tcp', member('g', 'other'), [6000])).toThrow('group auth failed')
    expect(() => groups.join('https', member('g', 'other'), ['b.example.com'])).toThrow('group params invalid')
    expect(() => groups.join('https', member('g', ''), ['a.example.com'])).toThrow('group auth failed')
  })

  it('is made anew after the last member left, who leaves once only', () => {
    const groups = new Groups(nodeCrypto)
    const first = groups.join('tcp', member('g', 'k'), [6000])
    const second = groups.join('tcp', member('g', 'k'), [6000])
    first.leave()
    first.leave()
    expect(() => groups.join('tcp', member('g', 'k'), [1])).toThrow()
    second.leave()
    groups.join('tcp', member('g', 'new'), [1])
    expect(groups.size).toBe(1)
  })
})

describe('Turns', () => {
  it('serves everybody equally often, whoever comes and leaves', () => {
    const turns = new Turns<string>()
    for (const name of ['a', 'b', 'c']) turns.add(name)
    expect([turns.next(), turns.next()]).toEqual(['a', 'b'])
    turns.remove('a')
    expect([turns.next(), turns.next(), turns.next()]).toEqual(['c', 'b', 'c'])
    turns.remove('b')
    turns.remove('c')
    expect(turns.next()).toBeUndefined()
  })

  it('differs by one at most between two members that stay', () => {
    const script = fc.array(fc.constantFrom<'next' | 'come' | 'go'>('next', 'next', 'come', 'go'), { maxLength: 60 })
    fc.assert(
      fc.property(script, (steps) => {
        const turns = new Turns<string>()
        const served = new Map([
          ['x', 0],
          ['y', 0],
        ])
        const guests: string[] = []
        turns.add('x')
        turns.add('y')
        for (const [index, step] of steps.entries()) {
          if (step === 'come') {
            guests.push(`guest ${index}`)
            turns.add(`guest ${index}`)
          } else if (step === 'go') {
            turns.remove(guests.shift() ?? '')
          } else {
            const name = turns.next() ?? ''
            if (served.has(name)) served.set(name, (served.get(name) ?? 0) + 1)
          }
        }
        expect(Math.abs((served.get('x') ?? 0) - (served.get('y') ?? 0))).toBeLessThanOrEqual(1)
      }),
    )
  })
})

describe('a key of the directory with several members', () => {
  const shared = (group: string) => ({ keys: ['tcp:6000'], group })

  it('is held by all of one group and by nobody else', async () => {
    const directory = new MemoryDirectory<string>()
    await directory.claim(['proxy:a'], 'A', shared('g'))
    expect(await directory.claim(['proxy:b'], 'B', shared('g'))).toEqual({ isClaimed: true })
    expect(await directory.claim(['proxy:c'], 'C', shared('h'))).toMatchObject({ isClaimed: false, key: 'tcp:6000' })
    expect(await directory.claim(['proxy:c', 'tcp:6000'], 'C')).toMatchObject({ isClaimed: false, owner: 'A' })
    expect(await directory.lookup('proxy:c')).toBeUndefined()
  })

  it('is free when the last member left, also of an owner with two members', async () => {
    const directory = new MemoryDirectory<string>()
    await directory.claim(['proxy:a'], 'A', shared('g'))
    await directory.claim(['proxy:b'], 'A', shared('g'))
    await directory.claim(['proxy:c'], 'C', shared('g'))
    await directory.release(['proxy:a', 'tcp:6000'], 'A')
    expect(await directory.lookup('tcp:6000')).toBe('A')
    await directory.release(['proxy:b', 'tcp:6000'], 'A')
    expect(await directory.lookup('tcp:6000')).toBe('C')
    await directory.release(['proxy:c', 'tcp:6000'], 'C')
    expect(directory.size).toBe(0)
  })

  it('is not shared with one who holds it alone', async () => {
    const directory = new MemoryDirectory<string>()
    await directory.claim(['tcp:6000'], 'A')
    expect(await directory.claim([], 'B', shared('g'))).toMatchObject({ isClaimed: false, owner: 'A' })
  })
})

describe('a route with several targets', () => {
  it('gives them in turn, and the rest when one leaves', () => {
    const table = new HttpRouteTable<string>()
    const route = (target: string) => ({ host: 'a.example.com', location: '/', user: '', target })
    table.add(route('one'))
    table.add(route('two'))
    const find = () => table.find('a.example.com', '/x', '')
    expect([find(), find(), find()]).toEqual(['one', 'two', 'one'])
    table.remove(route('one'))
    expect([find(), find()]).toEqual(['two', 'two'])
    table.remove(route('two'))
    expect([find(), table.size]).toEqual([undefined, 0])
  })
})
