// Bundles each executable into one self-contained file in dist/. Runs on plain Node 20 in a fraction of a second.
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { pagesModule } from './embed-dashboard.mjs'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

const executables = {
  'frps.js': 'relay-node/main.ts',
  'frpc.js': 'client/main.ts',
  'edgefrp.js': 'scripts/edgefrp.ts',
}

/**
 * ssh2 without what the gateway has no use for, 40 % of it: native helpers (what a user has lying about must not change
 * how we run), its client, agents, SFTP, key making, and the cipher of keys with a passphrase.
 */
const leanSsh2 = {
  name: 'lean-ssh2',
  setup({ onResolve, onLoad }) {
    const absent = (filter, contents) => {
      onResolve({ filter }, ({ path, importer }) =>
        importer.includes('ssh2') ? { path, namespace: contents } : undefined,
      )
      onLoad({ filter: /.*/, namespace: contents }, () => ({ contents, loader: 'js' }))
    }
    absent(/^cpu-features$|\.node$/, "throw new Error('not in the bundle')")
    absent(/^\.\/(client|agent|http-agents|keygen)\.js$|^bcrypt-pbkdf$/, 'module.exports = {}')
    absent(/protocol\/SFTP\.js$/, 'module.exports = { SFTP: class SFTP {} }')
  },
}

writeFileSync(join(root, 'dashboard/pages.ts'), pagesModule())
rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })
// CommonJS, because it starts a fifth faster than the same code as a module and runs wherever it is copied to,
// under any name. Node's compile cache was measured too: for one bundled file it gains nothing.
writeFileSync(join(dist, 'package.json'), '{ "type": "commonjs" }\n')

for (const [name, entry] of Object.entries(executables)) {
  const outfile = join(dist, name)
  const { warnings } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    // Names stay, so that a stack in a bug report can be read.
    minifySyntax: true,
    legalComments: 'none',
    // esbuild keeps an entry's own shebang, and two are a syntax error.
    banner: { js: readFileSync(join(root, entry), 'utf8').startsWith('#!') ? '' : '#!/usr/bin/env node' },
    define: {
      'import.meta.filename': '__filename',
      'import.meta.dirname': '__dirname',
      // ws takes native helpers where it finds them: what a user has lying about must not change how we run.
      'process.env.WS_NO_BUFFER_UTIL': '"1"',
      'process.env.WS_NO_UTF_8_VALIDATE': '"1"',
    },
    plugins: [leanSsh2],
    logLevel: 'warning',
  })
  // `import.meta.url` would be empty in the bundle, and esbuild says so only in a warning.
  if (warnings.length > 0) process.exit(1)
  chmodSync(outfile, 0o755)
  console.log(`dist/${name}  ${Math.round(statSync(outfile).size / 1024)} KiB`)
}
