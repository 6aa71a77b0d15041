import { Hono } from 'hono'
import { PAGES } from '../../dashboard/pages.ts'
import { route } from './answer.ts'

/** The status page and its files; it asks for `../api/v2`, so any place one level below the prefix will do. */
export function statusPage(): Hono {
  const app = new Hono()
  for (const [path, { type, text }] of Object.entries(PAGES)) {
    route(app, 'GET', path, (context) => context.body(text, 200, { 'Content-Type': type }))
  }
  return app
}
