import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** A Chromium of this machine, or `CHROMIUM_BIN`; undefined: there is none, and the suite says so. */
export const CHROMIUM = [process.env['CHROMIUM_BIN'] ?? '', ...PLACES].find((path) => path !== '' && existsSync(path))

if (CHROMIUM === undefined) {
  console.warn('!!! no Chromium on this machine: the browser suite is LEFT OUT (set CHROMIUM_BIN to run it)')
}

export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}
