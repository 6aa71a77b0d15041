import { FrpError } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import type { NatHoleClient, NatHoleReport, NatHoleVisitor, Outgoing } from '../../protocol/frp/messages.ts'
import { classifyNat, splitAddress } from '../../protocol/frp/nat-feature.ts'
import { newNatHoleId } from '../../protocol/frp/nat-hole-id.ts'
import { equalKeys, privilegeKey } from '../../protocol/frp/token.ts'
import { clientText, lineText } from '../error-text.ts'
import { WRONG_SECRETS } from '../limits.ts'
import { LoginGuard } from '../login-guard.ts'
import type { Sleepers } from '../sleepers.ts'
import { Analysis, type Recommendation } from './analysis.ts'
import { answersOf, type NatHoleAnswer, type Side } from './answers.ts'

/** frp, pkg/nathole/controller.go NatHoleTimeout: from the invitation to the owner's NatHoleClient. */
const OWNER_MS = 10_000
/** frp: the sender is told later, so that the receiver has opened its NAT by then. */
const SENDER_LATER_MS = 1_000
/** frp: the result may be reported this long after the owner stopped listening. */
const REPORT_MS = 30_000
/** Meetings under way, reports included. */
const MAX_MEETINGS = 4_096
/** Of those, of one visiting client, which needs one at a time for each of its visitors: nobody fills them all alone. */
const MAX_MEETINGS_PER_CLIENT = 128
/** What a side may name in all: 2 mapped and 10 assisted are frp's. The peer sends datagrams to each. */
const MAX_ADDRESSES = 16

/** An xtcp proxy. */
export interface NatHoleOwner {
  secretKey: string
  /** Who may visit; `*` is everybody. */
  users: readonly string[]
  /** Of the client that has it. */
  runId: string
  /** Tells that client that a visitor is here. */
  invite(sid: string): void
}

/** A client that sends one of the messages. */
export interface NatHolePeer {
  user: string
  ip: string
  runId: string
  send(message: Outgoing): void
}

interface Meeting {
  owner: NatHoleOwner
  visitor: { message: NatHoleVisitor; runId: string; send(message: Outgoing): void }
  /** Until the owner's message came. */
  waiting: Deadline | undefined
  /** What was recommended, once it was. */
  chosen: { key: string; recommendation: Recommendation } | undefined
  /** Monotonic ms after which it is forgotten. */
  untilMs: number
}

export interface RendezvousOptions {
  runtime: Runtime
  sleepers: Sleepers
  /** frps natholeAnalysisDataReserveHours, in ms. */
  reserveMs: number
}

/**
 * Where an xtcp visitor and the owner of the proxy learn of each other (frp: pkg/nathole/controller.go). The relay
 * sees their addresses and decides who sends when; their bytes it never sees.
 */
export class Rendezvous {
  private readonly runtime: Runtime
  private readonly sleepers: Sleepers
  private readonly analysis: Analysis
  private readonly guard: LoginGuard
  private readonly owners = new Map<string, NatHoleOwner>()
  /** By sid, the oldest first. */
  private readonly meetings = new Map<string, Meeting>()

  constructor({ runtime, sleepers, reserveMs }: RendezvousOptions) {
    this.runtime = runtime
    this.sleepers = sleepers
    this.analysis = new Analysis(reserveMs)
    this.guard = new LoginGuard(runtime, WRONG_SECRETS)
  }

  /** Visitors may ask for this proxy from now on. */
  listen(proxyName: string, owner: NatHoleOwner): void {
    this.owners.set(proxyName, owner)
  }

  /** No longer; somebody else who has the name by now keeps it. */
  unlisten(proxyName: string, owner: NatHoleOwner): void {
    if (this.owners.get(proxyName) === owner) this.owners.delete(proxyName)
  }

  /** A visitor asks whether it may come, or comes with its addresses. */
  visit(message: NatHoleVisitor, peer: NatHolePeer): void {
    try {
      const owner = this.ownerFor(message, peer)
      if (message.pre_check) peer.send({ type: 'NatHoleResp', transaction_id: message.transaction_id })
      else this.invite(message, peer, owner)
    } catch (error) {
      this.runtime.log.warn(`xtcp visitor [${peer.ip}]: ${lineText(error)}`)
      peer.send(refusal(message.transaction_id, clientText(error)))
    }
  }

  /** The owner answers the invitation; one that is unknown or over is ignored, as in frp. */
  answer(message: NatHoleClient, peer: NatHolePeer): void {
    const meeting = this.meetings.get(message.sid)
    if (meeting?.waiting === undefined || meeting.owner.runId !== peer.runId) return
    meeting.waiting.cancel()
    meeting.waiting = undefined
    try {
      this.bringTogether(message, peer, meeting)
    } catch (error) {
      this.meetings.delete(message.sid)
      const text = clientText(error)
      meeting.visitor.send(refusal(meeting.visitor.message.transaction_id, text))
      peer.send(refusal(message.transaction_id, text))
    }
  }

  /** The owner says what came of it. */
  report({ sid, success }: NatHoleReport, peer: NatHolePeer): void {
    const meeting = this.meetings.get(sid)
    if (meeting?.chosen === undefined || meeting.owner.runId !== peer.runId) return
    this.meetings.delete(sid)
    const { key, recommendation } = meeting.chosen
    const { mode, index } = recommendation
    if (success) this.analysis.succeeded(key, mode, index, this.runtime.monotonicMs())
    this.runtime.log.info(`sid [${sid}] report make hole success: ${success}, mode ${mode}, index ${index}`)
  }

  private ownerFor(message: NatHoleVisitor, peer: NatHolePeer): NatHoleOwner {
    const name = message.proxy_name
    this.sleepers.wake([`proxy:${name}`])
    const owner = this.owners.get(name)
    if (owner === undefined) throw new FrpError('PROXY_REFUSED', `xtcp server for [${name}] doesn't exist`)
    if (!message.pre_check) this.checkSecret(message, peer, owner)
    // frp looks at the user in the pre-check alone, which a visitor may leave out.
    if (!owner.users.includes('*') && !owner.users.includes(peer.user)) {
      throw new FrpError('AUTH_FAILED', `xtcp visitor user [${peer.user}] not allowed for [${name}]`)
    }
    return owner
  }

  private checkSecret(message: NatHoleVisitor, { ip }: NatHolePeer, owner: NatHoleOwner): void {
    const { crypto } = this.runtime
    const name = message.proxy_name
    const isRight = equalKeys(crypto, privilegeKey(crypto, owner.secretKey, message.timestamp), message.sign_key)
    // Guessing is slow even for the right guess.
    const isBlocked = this.guard.isBlocked(ip, name)
    if (!isRight && !isBlocked) this.guard.failed(ip, name)
    if (!isRight || isBlocked) throw new FrpError('AUTH_FAILED', `xtcp connection of [${name}] auth failed`)
  }

  private invite(message: NatHoleVisitor, peer: NatHolePeer, owner: NatHoleOwner): void {
    checkAddresses(message)
    this.forgetOld()
    if (this.meetings.size >= MAX_MEETINGS) throw new FrpError('LIMIT', `${MAX_MEETINGS} xtcp visitors are under way`)
    let ofClient = 0
    for (const { visitor } of this.meetings.values()) if (visitor.runId === peer.runId) ofClient += 1
    if (ofClient >= MAX_MEETINGS_PER_CLIENT) {
      throw new FrpError('LIMIT', `${MAX_MEETINGS_PER_CLIENT} xtcp visits of this client are under way`)
    }
    const sid = newNatHoleId(this.runtime)
    const waiting = this.runtime.after(OWNER_MS, () => {
      this.meetings.delete(sid)
      this.runtime.log.debug(`wait for NatHoleClient message timeout, sid [${sid}]`)
    })
    const visitor = { message, runId: peer.runId, send: (answer: Outgoing) => peer.send(answer) }
    this.meetings.set(sid, { owner, visitor, waiting, chosen: undefined, untilMs: Number.POSITIVE_INFINITY })
    owner.invite(sid)
  }

  private bringTogether(message: NatHoleClient, peer: NatHolePeer, meeting: Meeting): void {
    const { visitor } = meeting
    checkAddresses(message)
    const owner = sideOf(message, 'client')
    const guest = sideOf(visitor.message, 'visitor')
    const nowMs = this.runtime.monotonicMs()
    const key = [guest, owner].map(keyOf).join(' ')
    const recommendation = this.analysis.recommend(key, owner.feature, guest.feature, nowMs)
    const answers = answersOf(message.sid, visitor.message.protocol, owner, guest, recommendation)
    meeting.chosen = { key, recommendation }
    meeting.untilMs = nowMs + SENDER_LATER_MS + answers.ownerReadMs + REPORT_MS
    this.runtime.log.debug(
      `sid [${message.sid}] visitor nat: ${guest.feature.natType} ${guest.feature.behavior}, client nat: ` +
        `${owner.feature.natType} ${owner.feature.behavior}, mode ${recommendation.mode}, index ${recommendation.index}`,
    )
    this.tell(visitor, answers.visitor)
    this.tell(peer, answers.owner)
  }

  private tell(to: { send(message: Outgoing): void }, answer: NatHoleAnswer): void {
    if (answer.detect_behavior?.role === 'sender') this.runtime.after(SENDER_LATER_MS, () => to.send(answer))
    else to.send(answer)
  }

  /** No deadline waits for a report: a relay that sleeps may do so, and then the report is lost, no more. */
  private forgetOld(): void {
    const nowMs = this.runtime.monotonicMs()
    for (const [sid, { untilMs }] of this.meetings) if (untilMs < nowMs) this.meetings.delete(sid)
  }
}

function refusal(transactionId: string, error: string): Outgoing {
  return { type: 'NatHoleResp', transaction_id: transactionId, error }
}

function checkAddresses({ type, mapped_addrs, assisted_addrs }: NatHoleVisitor | NatHoleClient): void {
  const count = mapped_addrs.length + assisted_addrs.length
  if (count > MAX_ADDRESSES) throw new FrpError('LIMIT', `${type}: ${count} addresses, at most ${MAX_ADDRESSES}`)
  for (const address of [...mapped_addrs, ...assisted_addrs]) splitAddress(address)
}

function sideOf(message: NatHoleVisitor | NatHoleClient, who: string): Side {
  const { transaction_id: transactionId, mapped_addrs: mapped, assisted_addrs: assisted } = message
  try {
    const feature = classifyNat(
      mapped,
      assisted.map((address) => splitAddress(address).ip),
    )
    return { transactionId, mapped, assisted, feature }
  } catch (error) {
    throw new FrpError('MESSAGE_FIELD', `classify ${who} nat feature error: ${clientText(error)}`, { cause: error })
  }
}

/** By what frp knows a NAT again: its first address and its class. */
function keyOf({ mapped, feature }: Side): string {
  const { natType, behavior, regularPortsChange } = feature
  return `${splitAddress(mapped[0] ?? '').ip} ${natType} ${behavior} ${regularPortsChange}`
}
