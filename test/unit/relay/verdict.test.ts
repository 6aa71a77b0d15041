import { describe, expect, it } from 'vitest'
import { messageOf } from '../../../contract/errors.ts'
import type { Runtime } from '../../../contract/runtime.ts'
import { nodeRuntime } from '../../../node/runtime.ts'
import { onVerdict } from '../../../relay/verdict.ts'

/** A runtime whose deadlines run when the test says so. */
function stopped() {
  const open = new Map<number, () => void>()
  let count = 0
  const runtime: Runtime = {
    ...nodeRuntime(),
    after: (_delayMs, run) => {
      const id = ++count
      open.set(id, run)
      return { cancel: () => void open.delete(id) }
    },
  }
  const runAll = () => {
    for (const [id, run] of [...open]) {
      open.delete(id)
      run()
    }
  }
  return { runtime, open, runAll }
}

/** Lets promises settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve))

function listen() {
  const heard: string[] = []
  return {
    heard,
    yes: (value: string) => void heard.push(`yes ${value}`),
    no: (error: unknown) => void heard.push(`no ${messageOf(error)}`),
  }
}

describe('a verdict', () => {
  it('that is known is acted on at once, and leaves nothing open', () => {
    const { runtime, open } = stopped()
    const { heard, yes, no } = listen()
    onVerdict(runtime, () => 'at once', yes, no)
    onVerdict(
      runtime,
      () => {
        throw new Error('wrong')
      },
      yes,
      no,
    )
    expect(heard).toEqual(['yes at once', 'no wrong'])
    expect(open.size).toBe(0)
  })

  it('that somebody else gives keeps a deadline open until it was acted on', async () => {
    const { runtime, open, runAll } = stopped()
    const { heard, yes, no } = listen()
    onVerdict(runtime, () => Promise.resolve('later'), yes, no)
    onVerdict(runtime, () => Promise.reject(new Error('wrong')), yes, no)
    await settled()
    expect([heard.length, open.size]).toEqual([0, 2])
    runAll()
    expect(heard).toEqual(['yes later', 'no wrong'])
    expect(open.size).toBe(0)
  })

  it('that does not come in time is a refusal, and what comes later is not heard', async () => {
    const { runtime, open, runAll } = stopped()
    const { heard, yes, no } = listen()
    let resolve = (_value: string): void => undefined
    onVerdict(runtime, () => new Promise<string>((settle) => (resolve = settle)), yes, no)
    runAll()
    resolve('late')
    await settled()
    runAll()
    expect(heard).toEqual(['no the credentials could not be checked within 9 s'])
    expect(open.size).toBe(0)
  })

  it('whose consequence fails is a refusal too', async () => {
    const { runtime, runAll } = stopped()
    const { heard, no } = listen()
    const fail = (): void => {
      throw new Error('second login')
    }
    onVerdict(runtime, () => Promise.resolve('yes'), fail, no)
    await settled()
    runAll()
    expect(heard).toEqual(['no second login'])
  })
})
