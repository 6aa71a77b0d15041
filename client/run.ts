import type { FrpcOptions } from '../config/frpc.ts'
import type { Log, Runtime } from '../contract/runtime.ts'
import { createLog } from '../node/log.ts'
import { loadQuic } from '../node/quic.ts'
import { nodeRuntime } from '../node/runtime.ts'
import { resolveToken } from '../node/value-source.ts'
import { ClientConfig, type Running } from './admin/client-config.ts'
import { openAdmin } from './admin/server.ts'
import { Service } from './service.ts'
import { Visits } from './visit/visits.ts'
import { LoggedInWay } from './visit/way.ts'
import { VisitorSet } from './visitors/visitor-set.ts'

/** Longer than any program should run before its process looks once: only to have something open. */
const IDLE_MS = 2 ** 30

/**
 * Runs one service until `signal` says stop; the log goes where the configuration says. Rejects when the
 * first login fails and `loginFailExit` is set. `read` reads the configuration anew, for a reload.
 */
export async function runService(
  options: FrpcOptions,
  configFile: string,
  signal: AbortSignal,
  read: (strict: boolean) => FrpcOptions = () => options,
): Promise<void> {
  const log = createLog(options.log)
  const release = keepProcessUp(log)
  try {
    if (configFile !== '') log.info(`start frpc service for config file [${configFile}] with aggregated configuration`)
    await Promise.race([resolveTokens(options, log), aborted(signal)])
    if (signal.aborted) return
    const runtime = nodeRuntime(log)
    const config = new ClientConfig({
      options,
      fileName: configFile,
      read,
      apply: (running) => {
        if (hasXtcp(running)) void loadQuic().then(() => update(config.running))
        else update(running)
      },
      log,
    })
    if (hasXtcp(config.running)) await loadQuic()
    const update = ({ proxies, visitors: others }: Running): void => {
      service.update(proxies)
      visitors.update(others)
    }
    const service = new Service({ ...options, ...config.running }, runtime)
    const own = new LoggedInWay(runtime)
    service.onControl = own.use
    const visits = new Visits(options, own, runtime)
    const visitors = new VisitorSet(options, own, runtime)
    signal.addEventListener('abort', () => service.close(), { once: true })
    const admin =
      options.webServer.port > 0 ? await openAdmin(options.webServer, adminParts(service, config, runtime)) : undefined
    visits.start()
    visitors.update(config.running.visitors)
    await service.run().finally(() => {
      visitors.close()
      visits.close()
      own.close()
      admin?.close()
    })
  } finally {
    if (configFile !== '') log.info(`frpc service for config file [${configFile}] stopped`)
    release()
    await log.close()
  }
}

/** What speaks QUIC takes its time to load: only who may need it waits for it. */
function hasXtcp({ proxies, visitors }: Running): boolean {
  return [...proxies, ...visitors].some(({ type }) => type === 'xtcp')
}

function adminParts(service: Service, config: ClientConfig, runtime: Runtime): Parameters<typeof openAdmin>[1] {
  return {
    runtime,
    config,
    statuses: () => service.control?.manager.statuses(),
    serverAddr: () => service.serverAddr,
    stop: () => service.close(),
  }
}

/** Keeps the process alive, also after an error that nobody caught, until the answer is called. */
export function keepProcessUp(log: Log): () => void {
  // Deadlines do not keep a process up, and between two sessions nothing else is open.
  const open = setInterval(() => undefined, IDLE_MS)
  // What nobody caught costs what it happened in, not the other connections.
  const uncaught = (error: Error): void => log.error(`uncaught: ${error.stack ?? error.message}`)
  process.on('uncaughtException', uncaught)
  return () => {
    clearInterval(open)
    process.off('uncaughtException', uncaught)
  }
}

/** Resolves when `signal` says stop. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** `auth.tokenSource` of every server is read once, at the start, as in frp. */
export async function resolveTokens(options: FrpcOptions, log: Log): Promise<void> {
  for (const { auth } of [options, ...options.edgefrp.fallbackServers]) await resolveToken(auth, log)
}
