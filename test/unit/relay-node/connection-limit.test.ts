import { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { ConnectionLimit, maxConnections } from '../../../relay-node/connection-limit.ts'

describe('the bound on connections', () => {
  it('drops what is too much with one line, keeps room for clients, and counts again when one closes', async () => {
    const lines: string[] = []
    const log = createLineLog({ write: (line) => void lines.push(line), close: async () => undefined }, 'info', false)
    const limit = new ConnectionLimit(16, nodeRuntime(log))
    const users = Array.from({ length: 20 }, () => new Socket())
    expect(users.filter((user) => limit.admit(user, 'user'))).toHaveLength(14)
    expect(users.filter((user) => user.destroyed)).toHaveLength(6)
    const clients = Array.from({ length: 3 }, () => new Socket())
    expect(clients.map((client) => limit.admit(client, 'client'))).toEqual([true, true, false])
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('too many connections (16)')
    const closed = new Promise((resolve) => users[0]?.once('close', resolve))
    users[0]?.destroy()
    await closed
    expect(limit.admit(new Socket(), 'client')).toBe(true)
    const empty = new Promise<void>((resolve) => limit.whenEmpty(resolve))
    limit.destroyAll()
    await empty
    expect(limit.size).toBe(0)
  })

  it('leaves 512 descriptors, or half of few, and obeys the configuration', () => {
    const limits = (soft: string) =>
      `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}   1048576   files\n`
    expect(maxConnections(0, limits('65536'))).toBe(65_024)
    expect(maxConnections(0, limits('600'))).toBe(300)
    expect(maxConnections(0, limits('unlimited'))).toBe(Number.MAX_SAFE_INTEGER)
    expect(maxConnections(0, '')).toBe(512)
    expect(maxConnections(77, limits('65536'))).toBe(77)
  })
})
