import { afterEach, expect, it } from 'vitest'
import { CleanUp, echoTcp, freePorts, startClient } from '../e2e/client-rig.ts'
import { startRelay } from '../e2e/frps-rig.ts'
import { CHROMIUM, startBrowser } from './chromium.ts'

const cleanUp = new CleanUp()
afterEach(() => cleanUp.run())

/** What would set `__xss` if any of it were taken for markup or script. */
const HOSTILE = [
  '<img src=x onerror="window.__xss=1">',
  '<script>window.__xss=2</script>',
  '"><svg onload=window.__xss=3>',
  "';window.__xss=4;//",
  '</td></tr></table><iframe srcdoc="<script>parent.__xss=5</script>">',
  'javascript:window.__xss=6',
]

it.skipIf(CHROMIUM === undefined).each(['/static/', '/~!frp/dashboard/'])(
  'the status page at %s shows names with markup in them as text, and nothing of it runs',
  async (path) => {
    const [bindPort = 0, port = 0, ...ports] = await freePorts(2 + HOSTILE.length)
    await startRelay(cleanUp, { bindPort, webServer: { port, user: 'admin', password: 'secret' } })
    const localPort = await echoTcp(cleanUp)
    const client = startClient(cleanUp, {
      serverAddr: '127.0.0.1',
      serverPort: bindPort,
      user: HOSTILE[0],
      clientID: HOSTILE[1],
      proxies: HOSTILE.map((name, index) => ({ name, type: 'tcp', localPort, remotePort: ports[index] })),
    })
    for (const name of HOSTILE) await client.lines.waitFor(`[${name}] start proxy success`)
    const browser = await startBrowser()
    cleanUp.add(() => browser.close())
    const page = await browser.newPage({ httpCredentials: { username: 'admin', password: 'secret' } })
    const complaints: string[] = []
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text())
    })
    page.on('pageerror', (error) => complaints.push(error.message))
    await page.goto(`http://127.0.0.1:${path === '/static/' ? port : bindPort}${path}`)
    await page.getByText('updated', { exact: false }).first().waitFor()
    const cells = await page.locator('#proxies tr td:first-child').allTextContents()
    expect(cells.sort()).toEqual(HOSTILE.map((name) => `${HOSTILE[0]}.${name}`).sort())
    expect(await page.locator('#clients tr td:first-child').allTextContents()).toEqual([`${HOSTILE[0]}.${HOSTILE[1]}`])
    expect(await page.locator('#proxies td.online').count()).toBe(HOSTILE.length)
    expect(await page.locator('img, svg, iframe, body script').count()).toBe(0)
    expect(await page.evaluate('window.__xss')).toBeUndefined()
    expect(complaints).toEqual([])
  },
  60_000,
)
