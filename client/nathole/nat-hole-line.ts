import { FrpError } from '../../contract/errors.ts'
import type { Deadline, Runtime } from '../../contract/runtime.ts'
import type { NatHoleResp, Outgoing, OutgoingOf } from '../../protocol/frp/messages.ts'
import { newNatHoleId } from '../../protocol/frp/nat-hole-id.ts'

/** frp: PreCheck and ExchangeInfo, of one question. */
const ANSWER_MS = 5_000

/** A question without its id, which is given here. */
export type NatHoleQuestion =
  | Omit<OutgoingOf<'NatHoleVisitor'>, 'transaction_id'>
  | Omit<OutgoingOf<'NatHoleClient'>, 'transaction_id'>

/** Questions about holes on the control connection of one session; answers are told apart by transaction_id. */
export class NatHoleLine {
  private readonly runtime: Runtime
  private readonly send: (message: Outgoing) => void
  private readonly waiting = new Map<string, { answered(answer: NatHoleResp): void; deadline: Deadline }>()

  constructor(runtime: Runtime, send: (message: Outgoing) => void) {
    this.runtime = runtime
    this.send = send
  }

  /** Rejects with VISIT_REFUSED (the relay's reason), or TIMEOUT after 5 s. */
  ask(question: NatHoleQuestion): Promise<NatHoleResp> {
    const id = newNatHoleId(this.runtime)
    return new Promise((resolve, reject) => {
      const deadline = this.runtime.after(ANSWER_MS, () => {
        this.waiting.delete(id)
        reject(new FrpError('TIMEOUT', `no answer to ${question.type} within ${ANSWER_MS / 1000} s`))
      })
      const answered = (answer: NatHoleResp): void => {
        deadline.cancel()
        this.waiting.delete(id)
        if (answer.error === '') resolve(answer)
        else reject(new FrpError('VISIT_REFUSED', answer.error))
      }
      this.waiting.set(id, { answered, deadline })
      this.send({ ...question, transaction_id: id })
    })
  }

  answered(answer: NatHoleResp): void {
    this.waiting.get(answer.transaction_id)?.answered(answer)
  }

  report(sid: string, success: boolean): void {
    this.send({ type: 'NatHoleReport', sid, success })
  }
}
