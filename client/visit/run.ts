import type { FrpcOptions } from '../../config/frpc.ts'
import { FrpError, messageOf } from '../../contract/errors.ts'
import type { LogLevel, Runtime } from '../../contract/runtime.ts'
import { createLineLog } from '../../node/log.ts'
import { nodeRuntime } from '../../node/runtime.ts'
import { join } from '../../protocol/stream/join.ts'
import { Connector } from '../connector.ts'
import { aborted, keepProcessUp, resolveTokens } from '../run.ts'
import { Service } from '../service.ts'
import { stdioStream } from './stdio.ts'
import { StrangerWay } from './stranger-way.ts'
import { TcpVisit } from './tcp.ts'
import { UdpVisit } from './udp.ts'
import type { PortTarget } from './visitor-conn.ts'
import { LoggedInWay, type Way } from './way.ts'

/** A first login ends by its own deadlines; this one only ends the wait for certain. */
const FIRST_LOGIN_MS = 120_000
/** ssh sends SIGHUP to its ProxyCommand when it is done: what is under way may still arrive. */
const HANG_UP_MS = 5_000

/** One visit, as the command line asks for it. */
export interface VisitPlan {
  target: PortTarget
  /** Only what visits; names the server. */
  options: FrpcOptions
  /** Log in first, with the options' token. */
  isLoggedIn: boolean
  /** The local port; undefined: standard input and output, of tcp only. */
  bind: { address: string; port: number } | undefined
  logLevel: LogLevel
}

/**
 * Runs a visit until `signal` says stop, or, over standard input and output, until both directions ended. Nothing
 * but the visit's bytes goes to stdout. Rejects with the reason why it cannot go on.
 */
export async function runVisit(plan: VisitPlan, signal: AbortSignal): Promise<void> {
  const log = createLineLog({ write: toStderr, close: () => Promise.resolve() }, plan.logLevel, false)
  const release = keepProcessUp(log)
  const runtime = nodeRuntime(log)
  const closing: (() => void)[] = []
  try {
    const stopped = aborted(signal)
    if (plan.isLoggedIn) await Promise.race([resolveTokens(plan.options, log), stopped])
    if (signal.aborted) return
    const { way, over } = wayOf(plan, runtime, closing)
    const visit = plan.bind === undefined ? throughStdio(plan, way) : atPort(plan, plan.bind, way, runtime, closing)
    await Promise.race([visit, over, stopped])
  } finally {
    for (const close of closing) close()
    release()
    await log.close()
  }
}

function wayOf(plan: VisitPlan, runtime: Runtime, closing: (() => void)[]): { way: Way; over: Promise<void> } {
  const { options, isLoggedIn } = plan
  if (!isLoggedIn) {
    const way = new StrangerWay(options, runtime)
    closing.push(() => way.close())
    return { way, over: new Promise(() => undefined) }
  }
  const way = new LoggedInWay(runtime)
  const service = new Service(options, runtime)
  service.onControl = way.use
  closing.push(
    () => way.close(),
    () => service.close(),
  )
  return { way, over: service.run().catch(plainly) }
}

/** The reason of a refused login without frp's advice about `loginFailExit`, which this command has not. */
function plainly(error: unknown): never {
  if (error instanceof FrpError && error.cause instanceof Error) {
    throw new FrpError('LOGIN_REFUSED', `login failed: ${error.cause.message}`, { cause: error.cause })
  }
  throw error
}

async function throughStdio(plan: VisitPlan, way: Way): Promise<void> {
  const { options } = plan
  // The log is quieter here, but not about safety.
  for (const warning of new Connector(options, options, nodeRuntime()).warnings) toStderr(`WARNING: ${warning}\n`)
  const local = stdioStream()
  const { stream, features } = await way.open(plan.target, firstWaitMs(plan))
  await new Promise<void>((resolve, reject) => {
    const onHangUp = (): void => {
      setTimeout(() => reject(new FrpError('TIMEOUT', 'hung up')), HANG_UP_MS).unref()
    }
    process.on('SIGHUP', onHangUp)
    join(local, stream, {
      endOfBIsClose: !features.has('half-close'),
      onClose: (error) => {
        process.off('SIGHUP', onHangUp)
        if (error === undefined) resolve()
        else reject(new FrpError('STREAM_CUT', `connection lost: ${messageOf(error)}`, { cause: error }))
      },
    })
  })
}

/** Goes on for ever; rejects when the port cannot be opened or, of udp, when the first stream is refused. */
async function atPort(
  plan: VisitPlan,
  bind: { address: string; port: number },
  way: Way,
  runtime: Runtime,
  closing: (() => void)[],
): Promise<never> {
  const { target } = plan
  const { log } = runtime
  const visit = target.type === 'tcp' ? new TcpVisit(target, way, log) : new UdpVisit(target, way, runtime, log)
  closing.unshift(() => visit.close())
  const port = await visit.listen(bind.address, bind.port)
  log.info(`visit of ${target.type} port ${target.port}: listen on ${bind.address}:${port}`)
  // A tcp stream would be a connection to the service; the one of udp is there for all datagrams anyway.
  if (visit instanceof UdpVisit) await visit.open(firstWaitMs(plan))
  return new Promise(() => undefined)
}

/** A stranger's first try is the last, as a first login is. */
function firstWaitMs(plan: VisitPlan): number {
  return plan.isLoggedIn ? FIRST_LOGIN_MS : 0
}

function toStderr(line: string): void {
  process.stderr.write(line)
}
