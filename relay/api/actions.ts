import { Hono } from 'hono'
import { codeOf, FrpError, messageOf } from '../../contract/errors.ts'
import { clientKeyOf } from '../client-records.ts'
import type { Relay } from '../relay.ts'
import { endSession } from '../session-end.ts'
import { ApiError, jsonAnswer } from './answer.ts'

/** What frp's API has not: reading the configuration again, and ending a client's session or one of its proxies. */
export function apiActions(relay: Relay): Hono {
  const app = new Hono()
  app.post('/reload', async () => {
    if (relay.reloader === undefined) throw new ApiError(400, 'this relay has no configuration file to read again')
    try {
      return jsonAnswer(await relay.reloader())
    } catch (error) {
      // Our own texts alone: a file name of the runtime's may be in others.
      throw codeOf(error) === undefined ? error : new ApiError(400, messageOf(error))
    }
  })
  app.delete('/clients/:key', (context) => {
    const key = context.req.param('key')
    const controls = relay.registry.clients.filter((control) => clientKeyOf(control) === key)
    if (controls.length === 0) throw new ApiError(404, `client ${key} is not online`)
    for (const control of controls) {
      const reason = new FrpError('SESSION_ENDED', 'disconnected by the operator')
      endSession(control, relay.joins, reason)
    }
    return jsonAnswer({ disconnected: controls.length })
  })
  app.delete('/proxies/:name', (context) => {
    const name = context.req.param('name')
    const control = relay.registry.clients.find(({ proxies }) => proxies.workConns(name) !== undefined)
    if (control === undefined) throw new ApiError(404, `proxy ${name} is not online`)
    control.log.info(`proxy [${name}] is closed by the operator`)
    control.proxies.close(name)
    return jsonAnswer({ closed: name })
  })
  return app
}
