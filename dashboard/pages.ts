/** The files of the status page, by path; written by scripts/embed-dashboard.mjs from the files beside it. */
export const PAGES: Readonly<Record<string, { type: string; text: string }>> = {
  '/': {
    type: 'text/html; charset=utf-8',
    text: `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>edgefrp relay</title>
    <link rel="icon" href="icon.svg">
    <link rel="stylesheet" href="status.css">
    <script src="status.js" defer></script>
  </head>
  <body>
    <header>
      <h1>edgefrp relay <small id="version"></small></h1>
      <p id="state" role="status">loading</p>
    </header>
    <main>
      <dl id="cards"></dl>
      <section>
        <h2>Proxies</h2>
        <table>
          <thead>
            <tr>
              <th>Name</th><th>Type</th><th>Address</th><th>Client</th><th>Status</th>
              <th class="number">Connections</th><th class="number">In today</th><th class="number">Out today</th>
            </tr>
          </thead>
          <tbody id="proxies"></tbody>
        </table>
      </section>
      <section>
        <h2>Clients</h2>
        <table>
          <thead>
            <tr><th>Client</th><th>Host</th><th>Address</th><th>Version</th><th>Status</th><th>Since</th></tr>
          </thead>
          <tbody id="clients"></tbody>
        </table>
      </section>
      <section>
        <h2>Relay</h2>
        <dl id="relay"></dl>
      </section>
    </main>
  </body>
</html>
`,
  },
  '/status.css': {
    type: 'text/css; charset=utf-8',
    text: `:root {
  color-scheme: light dark;
  --line: light-dark(#d8dce3, #3a3f4a);
  --quiet: light-dark(#5c6470, #9aa3b2);
  --good: light-dark(#116b3a, #5fd38d);
  --bad: light-dark(#a02020, #ff8a80);
}

body {
  font:
    15px / 1.5 system-ui,
    sans-serif;
  margin: 0 auto;
  max-width: 72rem;
  padding: 1rem;
}

header {
  display: flex;
  flex-wrap: wrap;
  justify-content: space-between;
  align-items: baseline;
}

h1 {
  font-size: 1.4rem;
  margin: 0;
}

h2 {
  font-size: 1.1rem;
  margin: 1.5rem 0 0.5rem;
}

small,
#state,
dt {
  color: var(--quiet);
}

section {
  overflow-x: auto;
}

table {
  border-collapse: collapse;
  width: 100%;
}

th,
td {
  border-bottom: 1px solid var(--line);
  max-width: 24rem;
  overflow-wrap: anywhere;
  padding: 0.3rem 0.6rem 0.3rem 0;
  text-align: left;
  vertical-align: top;
}

.number {
  font-variant-numeric: tabular-nums;
  text-align: right;
  white-space: nowrap;
}

.online {
  color: var(--good);
}

.offline,
.failed {
  color: var(--bad);
}

dl {
  display: grid;
  gap: 0.5rem 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr));
  margin: 1rem 0;
}

dd {
  margin: 0;
}

#cards dd {
  font-size: 1.4rem;
  font-variant-numeric: tabular-nums;
}
`,
  },
  '/icon.svg': {
    type: 'image/svg+xml',
    text: `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
  <title>edgefrp</title>
  <path d="M2 8h5l2-4 2 8 1-4h2" fill="none" stroke="#3a7bd5" stroke-width="1.6" stroke-linejoin="round" />
</svg>
`,
  },
  '/status.js': {
    type: 'text/javascript; charset=utf-8',
    text: `// The status page of a relay. Whatever a client can choose (names, hosts, domains) reaches the page as a text node
// and in no other way. The API lies beside the folder of this page, under any prefix.

/** frp's dashboard refreshes as often. */
const REFRESH_MS = 5000
/** The API's largest page. */
const ROWS = 200
const API = '../api/v2/'

async function ask(path) {
  const response = await fetch(API + path, { cache: 'no-store' })
  if (!response.ok) throw new Error(\`the relay answered \${response.status}\`)
  return (await response.json()).data
}

function element(name, text, className) {
  const made = document.createElement(name)
  made.textContent = text
  if (className !== undefined) made.className = className
  return made
}

function show(id, children) {
  document.getElementById(id).replaceChildren(...children)
}

function row(cells) {
  const tr = document.createElement('tr')
  tr.append(...cells)
  return tr
}

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return \`\${unit === 0 ? value : value.toFixed(1)} \${units[unit]}\`
}

function time(seconds) {
  return seconds === undefined ? '' : new Date(seconds * 1000).toLocaleString()
}

/** Where users come in, as far as the relay knows it. */
function addressOf(proxy, config) {
  const block = proxy.spec[proxy.spec.type] ?? {}
  if (block.remotePort !== undefined) return \`:\${block.remotePort}\`
  const ports = {
    http: config.vhostHTTPPort,
    https: config.vhostHTTPSPort,
    tcpmux: config.tcpmuxHTTPConnectPort,
  }
  const port = ports[proxy.spec.type]
  const hosts = [...(block.customDomains ?? [])]
  if (block.subdomain) hosts.push(\`\${block.subdomain}.\${config.subdomainHost}\`)
  return hosts.map((host) => (port === undefined || port === 0 ? host : \`\${host}:\${port}\`)).join(', ')
}

function proxyRow(proxy, config) {
  const { phase, curConns, todayTrafficIn, todayTrafficOut } = proxy.status
  const client = [proxy.user, proxy.clientID].filter((part) => part !== '').join('.')
  return row([
    element('td', proxy.name),
    element('td', proxy.spec.type),
    element('td', addressOf(proxy, config)),
    element('td', client),
    element('td', phase, phase),
    element('td', String(curConns), 'number'),
    element('td', bytes(todayTrafficIn), 'number'),
    element('td', bytes(todayTrafficOut), 'number'),
  ])
}

function clientRow(client) {
  const phase = client.online ? 'online' : 'offline'
  return row([
    element('td', client.key),
    element('td', client.hostname),
    element('td', client.clientIP ?? ''),
    element('td', client.version ?? ''),
    element('td', phase, phase),
    element('td', time(client.disconnectedAt ?? client.lastConnectedAt)),
  ])
}

function pairs(values) {
  return Object.entries(values).map(([name, value]) => {
    const pair = document.createElement('div')
    pair.append(element('dt', name), element('dd', String(value)))
    return pair
  })
}

/** Says so when there are more than fit on a page of the API. */
function rows(page, toRow, columns) {
  const made = page.items.map(toRow)
  if (page.total > page.items.length) {
    const cell = element('td', \`and \${page.total - page.items.length} more\`)
    cell.colSpan = columns
    made.push(row([cell]))
  }
  return made
}

async function refresh() {
  const state = document.getElementById('state')
  try {
    const [info, proxies, clients] = await Promise.all([
      ask('system/info'),
      ask(\`proxies?pageSize=\${ROWS}\`),
      ask(\`clients?pageSize=\${ROWS}\`),
    ])
    const { config, status, version } = info
    document.getElementById('version').textContent = version
    show(
      'cards',
      pairs({
        Clients: status.clientCounts,
        Proxies: Object.values(status.proxyTypeCount).reduce((sum, count) => sum + count, 0),
        Connections: status.curConns,
        'In today': bytes(status.totalTrafficIn),
        'Out today': bytes(status.totalTrafficOut),
      }),
    )
    show(
      'proxies',
      rows(proxies, (proxy) => proxyRow(proxy, config), 8),
    )
    show('clients', rows(clients, clientRow, 6))
    show('relay', pairs(config))
    state.textContent = \`updated \${new Date().toLocaleTimeString()}\`
    state.className = ''
  } catch (error) {
    state.textContent = \`not updated: \${error instanceof Error ? error.message : error}\`
    state.className = 'failed'
  }
  // Not an interval: a relay that answers slowly is not asked again before it has.
  setTimeout(refresh, REFRESH_MS)
}

void refresh()
`,
  },
}
