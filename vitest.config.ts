import { cloudflareTest } from '@cloudflare/vitest-plugin'
import { defineConfig } from 'vitest/config'

// Nothing of the tool chain may ask the network: no update check, no telemetry, no lookup of `request.cf`.
process.env['WRANGLER_SEND_METRICS'] ??= 'false'
process.env['WRANGLER_HIDE_BANNER'] ??= 'true'
process.env['CLOUDFLARE_CF_FETCH_ENABLED'] ??= 'false'

/** A test waits for events, and this is only where it gives up: on a busy machine a property test takes many times its second. */
const TEST_TIMEOUT_MS = 30_000

/** Suites that run in Node; each is a folder below `test/`. */
const NODE_SUITES = ['unit', 'contract', 'fuzz', 'e2e', 'faults', 'interop', 'browser']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'node',
          include: NODE_SUITES.map((suite) => `test/${suite}/**/*.test.ts`),
          environment: 'node',
          testTimeout: TEST_TIMEOUT_MS,
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: './test/edge/wrangler.toml' } })],
        test: { name: 'edge', include: ['test/edge/**/*.test.ts'], testTimeout: TEST_TIMEOUT_MS },
      },
    ],
  },
})
