import type { Env, Hono } from 'hono'
import { PAGES } from '../../dashboard/pages.ts'
import { route } from './answer.ts'

/**
 * Serves the status page and its files below `folder`, one level below what the API is below: the page asks for
 * `../api/v2`. `mountedAt` is the prefix of `app` itself.
 */
export function addStatusPage<E extends Env>(app: Hono<E>, folder: string, mountedAt = ''): void {
  for (const [path, { type, text }] of Object.entries(PAGES)) {
    route(app, 'GET', folder + path, (context) => context.body(text, 200, { 'Content-Type': type }))
  }
  app.get(folder, (context) => context.redirect(`${mountedAt}${folder}/`, 301))
}
