import { beforeEach, describe, expect, it } from 'vitest'
import { createLineLog } from '../../../node/log.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import type { NatHoleClient, NatHoleVisitor, Outgoing } from '../../../protocol/frp/messages.ts'
import { classifyNat } from '../../../protocol/frp/nat-feature.ts'
import { privilegeKey } from '../../../protocol/frp/token.ts'
import { Analysis } from '../../../relay/nathole/analysis.ts'
import { BEHAVIORS, type Behavior, type Mode } from '../../../relay/nathole/behaviors.ts'
import { type NatHoleOwner, type NatHolePeer, Rendezvous } from '../../../relay/nathole/rendezvous.ts'
import { NO_SLEEPERS } from '../../../relay/sleepers.ts'
import { LentClock } from '../../faults/hostile-relay.ts'

/** frp 0.70.1, pkg/nathole/analysis.go; the letters are those of {@link spelled}. */
const FRP: Record<Mode, string> = {
  0: 'S|R t7, R t7|S, S|R t4, R t4|S, S|R, R|S, S d5000|R, S d10000|R, R|S d5000, R|S d10000',
  1: 'S|R t7 p10, S d2000|R t7 p10, S|R t4 p10, S d2000|R t4 p10, S|R p10, S d2000|R p10',
  2: 'S r1000 d3000|R l256 t7, S r1000 d3000|R l256 t4, S r1000 d3000|R l256',
  3: 'S p10|R t7 p10, S p10|R t4 p10, S p10|R p10, R t7 p10|S p10, R t4 p10|S p10, R p10|S p10',
  4: 'S r1000 d3000|R l256 t7 p2, S r1000 d3000|R l256 t4 p2, S r1000 d3000|R l256 p2',
}

function spelled({ role, ...numbers }: Behavior): string {
  const { sendRandomPorts: r, sendDelayMs: d, listenRandomPorts: l, ttl: t, portsRange: p } = numbers
  const parts = Object.entries({ r, d, l, t, p }).filter(([, value]) => value > 0)
  return [role === 'sender' ? 'S' : 'R', ...parts.map(([letter, value]) => `${letter}${value}`)].join(' ')
}

const IP = '203.0.113.9'
const EASY = classifyNat([`${IP}:1`, `${IP}:1`], [])
const PUBLIC = classifyNat([`${IP}:1`, `${IP}:1`], [IP])
const REGULAR = classifyNat([`${IP}:1`, `${IP}:3`], [])
const WILD = classifyNat([`${IP}:1`, `${IP}:300`], [])
const NATS = { EASY, PUBLIC, REGULAR, WILD }

describe('the behaviours', () => {
  it.each([0, 1, 2, 3, 4] as const)("of mode %i are frp's", (mode) => {
    expect(BEHAVIORS[mode].map(({ a, b }) => `${spelled(a)}|${spelled(b)}`).join(', ')).toBe(FRP[mode])
  })
})

describe('what is recommended', () => {
  const tries = (owner: keyof typeof NATS, visitor: keyof typeof NATS, count: number): string => {
    const analysis = new Analysis(1_000)
    const all = Array.from({ length: count }, () => {
      const { mode, index } = analysis.recommend('pair', NATS[owner], NATS[visitor], 0)
      return `${mode}.${index}`
    })
    return all.join(' ')
  }

  it.each([
    ['EASY', 'EASY', '0.0 0.1 0.2'],
    ['PUBLIC', 'EASY', '0.1 0.3 0.5'],
    ['EASY', 'PUBLIC', '0.0 0.2 0.4'],
    ['REGULAR', 'EASY', '1.0 1.1 1.2'],
    ['EASY', 'WILD', '2.0 2.1 2.2 1.0'],
    ['REGULAR', 'REGULAR', '3.0 3.1 3.2'],
    ['REGULAR', 'WILD', '4.0 4.1 4.2 4.0'],
    ['WILD', 'WILD', '0.0 0.1 0.2'],
  ] as const)('to an owner of %s and a visitor of %s', (owner, visitor, expected) => {
    expect(tries(owner, visitor, expected.split(' ').length)).toBe(expected)
  })

  it.each([
    ['REGULAR', 'EASY', 'sender', 'receiver'],
    ['EASY', 'REGULAR', 'receiver', 'sender'],
    ['WILD', 'EASY', 'receiver', 'sender'],
    ['EASY', 'WILD', 'sender', 'receiver'],
    ['REGULAR', 'WILD', 'sender', 'receiver'],
    ['WILD', 'REGULAR', 'receiver', 'sender'],
  ] as const)('has the right one send: owner %s, visitor %s', (owner, visitor, ownerRole, visitorRole) => {
    const { owner: a, visitor: b } = new Analysis(1_000).recommend('pair', NATS[owner], NATS[visitor], 0)
    expect([a.role, b.role]).toEqual([ownerRole, visitorRole])
  })

  it('is what succeeded before, for as long as it is remembered', () => {
    const analysis = new Analysis(1_000)
    const next = (nowMs: number): number => analysis.recommend('pair', EASY, EASY, nowMs).index
    expect([next(0), next(0)]).toEqual([0, 1])
    analysis.succeeded('pair', 0, 1, 0)
    expect([next(0), next(1_000), next(1_000)]).toEqual([1, 1, 2])
    analysis.succeeded('pair', 0, 1, 1_000)
    expect(next(2_001)).toBe(0)
  })
})

describe('the rendezvous', () => {
  let clock: LentClock
  let meeting: Rendezvous
  let invited: string[]
  const runtime = nodeRuntime(createLineLog({ write: () => undefined, close: async () => undefined }, 'error', false))

  class Peer implements NatHolePeer {
    readonly got: Outgoing[] = []
    readonly user: string
    readonly runId: string
    readonly ip = '198.51.100.7'

    constructor(user: string, runId: string) {
      this.user = user
      this.runId = runId
    }

    send(message: Outgoing): void {
      this.got.push(message)
    }
  }

  const owner = (): NatHoleOwner => ({
    secretKey: 'k',
    users: ['bob'],
    runId: 'owner',
    invite: (sid) => invited.push(sid),
  })

  const visitor = (more: Partial<NatHoleVisitor> = {}): NatHoleVisitor => ({
    type: 'NatHoleVisitor',
    transaction_id: 'tv',
    proxy_name: 'p',
    pre_check: false,
    protocol: 'quic',
    sign_key: privilegeKey(runtime.crypto, 'k', 7),
    timestamp: 7,
    mapped_addrs: [`${IP}:4000`, `${IP}:4000`],
    assisted_addrs: ['10.0.0.2:4000', '10.0.0.2:4000'],
    ...more,
  })

  const client = (more: Partial<NatHoleClient> = {}): NatHoleClient => ({
    type: 'NatHoleClient',
    transaction_id: 'tc',
    proxy_name: 'p',
    sid: invited.at(-1) ?? '',
    mapped_addrs: ['198.51.100.1:60000', '198.51.100.1:60003'],
    assisted_addrs: [],
    ...more,
  })

  beforeEach(() => {
    clock = new LentClock()
    invited = []
    const lent = {
      ...runtime,
      monotonicMs: () => clock.monotonicMs,
      after: (delayMs: number, run: () => void) => clock.after(delayMs, run),
    }
    meeting = new Rendezvous({ runtime: lent, sleepers: NO_SLEEPERS, reserveMs: 3_600_000 })
    meeting.listen('p', owner())
  })

  it('tells each side about the other, and the sender a second later', () => {
    const [bob, alice] = [new Peer('bob', 'v'), new Peer('alice', 'owner')]
    meeting.visit(visitor(), bob)
    expect(invited).toHaveLength(1)
    const [sid = ''] = invited
    meeting.answer(client(), alice)
    const of = (role: string) => ({ role, mode: 1, send_delay_ms: 0, send_random_ports: 0, listen_random_ports: 0 })
    expect(bob.got).toEqual([
      {
        type: 'NatHoleResp',
        transaction_id: 'tv',
        sid,
        protocol: 'quic',
        candidate_addrs: ['198.51.100.1:60000', '198.51.100.1:60003'],
        assisted_addrs: [],
        detect_behavior: {
          ...of('receiver'),
          ttl: 7,
          read_timeout: 5_000,
          candidate_ports: [{ from: 59_995, to: 60_011 }],
        },
      },
    ])
    expect(alice.got).toEqual([])
    clock.advance(1_000)
    expect(alice.got).toEqual([
      {
        type: 'NatHoleResp',
        transaction_id: 'tc',
        sid,
        protocol: 'quic',
        candidate_addrs: [`${IP}:4000`],
        assisted_addrs: ['10.0.0.2:4000'],
        detect_behavior: { ...of('sender'), ttl: 0, read_timeout: 5_000, candidate_ports: [] },
      },
    ])
  })

  it('waits for no report, so that a relay may sleep', () => {
    meeting.visit(visitor(), new Peer('bob', 'v'))
    meeting.answer(client(), new Peer('alice', 'owner'))
    clock.advance(1_000)
    expect(clock.openCount).toBe(0)
  })

  it('learns from the report of the owner, and of nobody else', () => {
    const behaviour = (): number | undefined => {
      const bob = new Peer('bob', 'v')
      meeting.visit(visitor(), bob)
      meeting.answer(client(), new Peer('alice', 'owner'))
      clock.advance(1_000)
      const [answer] = bob.got
      return answer?.type === 'NatHoleResp' ? answer.detect_behavior?.ttl : undefined
    }
    // The order of mode 1: twice ttl 7, twice ttl 4.
    expect([behaviour(), behaviour(), behaviour()]).toEqual([7, 7, 4])
    const sid = invited.at(-1) ?? ''
    meeting.report({ type: 'NatHoleReport', sid, success: true }, new Peer('eve', 'other'))
    expect(behaviour()).toBe(4)
    meeting.report({ type: 'NatHoleReport', sid, success: true }, new Peer('alice', 'owner'))
    expect([behaviour(), behaviour(), behaviour()]).toEqual([4, 4, 0])
  })

  it('is silent when the owner does not answer in 10 s, or somebody else does', () => {
    const bob = new Peer('bob', 'v')
    meeting.visit(visitor(), bob)
    meeting.answer(client(), new Peer('eve', 'other'))
    clock.advance(10_000)
    meeting.answer(client(), new Peer('alice', 'owner'))
    clock.advance(1_000)
    expect(bob.got).toEqual([])
  })

  it('answers both when the addresses make no sense', () => {
    const [bob, alice] = [new Peer('bob', 'v'), new Peer('alice', 'owner')]
    meeting.visit(visitor(), bob)
    meeting.answer(client({ mapped_addrs: [`${IP}:1`] }), alice)
    const error = 'classify client nat feature error: not enough addresses'
    expect(bob.got).toMatchObject([{ transaction_id: 'tv', error }])
    expect(alice.got).toMatchObject([{ transaction_id: 'tc', error }])
  })

  it.each([
    ['an unknown proxy', { proxy_name: 'q' }, 'bob', "xtcp server for [q] doesn't exist"],
    ['a wrong secret', { sign_key: 'x' }, 'bob', 'xtcp connection of [p] auth failed'],
    ['another user', {}, 'eve', 'xtcp visitor user [eve] not allowed for [p]'],
    ['another user who asks first', { pre_check: true }, 'eve', 'xtcp visitor user [eve] not allowed for [p]'],
    ['what is no address', { mapped_addrs: ['x'] }, 'bob', 'address "x": expected ip:port'],
    ['too many addresses in all', { assisted_addrs: Array(15).fill('10.0.0.1:1') }, 'bob', '17 addresses, at most 16'],
  ])('refuses %s', (_what, more, user, error) => {
    const peer = new Peer(user, 'v')
    meeting.visit(visitor(more), peer)
    expect(peer.got).toMatchObject([
      { type: 'NatHoleResp', transaction_id: 'tv', error: expect.stringContaining(error) },
    ])
    expect(invited).toEqual([])
  })

  it('needs no secret for the question whether one may come', () => {
    const bob = new Peer('bob', 'v')
    meeting.visit(visitor({ pre_check: true, sign_key: '', mapped_addrs: [] }), bob)
    expect(bob.got).toEqual([{ type: 'NatHoleResp', transaction_id: 'tv' }])
  })

  it('makes guessing slow, for the right guess too', () => {
    const errors = Array.from({ length: 5 }, () => {
      const bob = new Peer('bob', 'v')
      meeting.visit(visitor({ sign_key: 'x' }), bob)
      return bob.got.length
    })
    expect(errors).toEqual([1, 1, 1, 1, 1])
    const bob = new Peer('bob', 'v')
    meeting.visit(visitor(), bob)
    expect([bob.got.length, invited.length]).toEqual([1, 0])
    clock.advance(10_000)
    meeting.visit(visitor(), new Peer('bob', 'v'))
    expect(invited).toHaveLength(1)
  })

  it('holds so many meetings and no more, and forgets those that are over', () => {
    const full = new Peer('bob', 'v')
    for (let i = 0; i < 4_096; i++) meeting.visit(visitor(), new Peer('bob', `v${i % 32}`))
    meeting.visit(visitor(), full)
    expect(full.got).toMatchObject([{ error: '4096 xtcp visitors are under way' }])
    for (const sid of invited.splice(0)) meeting.answer(client({ sid }), new Peer('alice', 'owner'))
    clock.advance(60_000)
    meeting.visit(visitor(), full)
    expect(invited).toHaveLength(1)
  })

  it('lets no client alone have all the meetings there may be', () => {
    const [greedy, honest] = [new Peer('bob', 'v'), new Peer('bob', 'w')]
    for (let i = 0; i < 129; i++) meeting.visit(visitor(), greedy)
    expect(greedy.got).toMatchObject([{ error: '128 xtcp visits of this client are under way' }])
    meeting.visit(visitor(), honest)
    expect([honest.got, invited.length]).toEqual([[], 129])
  })

  it('does not end the proxy of whoever has the name by now', () => {
    const [old, fresh] = [owner(), owner()]
    meeting.listen('p', old)
    meeting.listen('p', fresh)
    meeting.unlisten('p', old)
    meeting.visit(visitor(), new Peer('bob', 'v'))
    expect(invited).toHaveLength(1)
    meeting.unlisten('p', fresh)
    const bob = new Peer('bob', 'v')
    meeting.visit(visitor(), bob)
    expect(bob.got).toMatchObject([{ error: "xtcp server for [p] doesn't exist" }])
  })
})
