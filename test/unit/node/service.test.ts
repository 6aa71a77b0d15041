import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type ServiceHost, serviceCommand } from '../../../node/service-command.ts'
import { type ServicePlan, serviceFiles } from '../../../node/service-files.ts'

const LINUX: ServicePlan = {
  program: 'frps',
  name: 'frps',
  platform: 'linux',
  node: '/usr/bin/node',
  script: '/opt/edgefrp/dist/frps.js',
  config: '/etc/frp/my relay.toml',
  flags: [],
  isSystem: true,
  home: '/root',
  uid: 0,
}

describe('serviceFiles', () => {
  it('makes a unit of systemd that starts again, and reads its file again', () => {
    const { path, content, start, stop } = serviceFiles(LINUX)
    expect(path).toBe('/etc/systemd/system/frps.service')
    expect(content).toContain('ExecStart="/usr/bin/node" "/opt/edgefrp/dist/frps.js" "-c" "/etc/frp/my relay.toml"\n')
    expect(content).toContain('ExecReload=/bin/kill -HUP $MAINPID\n')
    expect(content).toContain('Restart=always\n')
    expect(content).toContain('WantedBy=multi-user.target\n')
    expect(start.map((command) => command.join(' '))).toEqual([
      'systemctl daemon-reload',
      'systemctl enable frps',
      'systemctl restart frps',
    ])
    expect(stop).toEqual([['systemctl', 'disable', '--now', 'frps']])
  })

  it("makes a unit of the user's own for who is not root, and frpc is asked to reload", () => {
    const own = { ...LINUX, program: 'frpc', name: 'nas', isSystem: false, home: '/home/me' } as const
    const { path, content, status } = serviceFiles(own)
    expect(path).toBe('/home/me/.config/systemd/user/nas.service')
    expect(content).toContain('WantedBy=default.target\n')
    expect(content).toMatch(/ExecReload=.* reload "-c" "\/etc\/frp\/my relay.toml"\n/)
    expect(status.slice(0, 2)).toEqual(['systemctl', '--user'])
  })

  it('escapes what systemd would read as something else', () => {
    const { content } = serviceFiles({ ...LINUX, config: '/a/100%/"$HOME\\.toml' })
    expect(content).toContain('"-c" "/a/100%%/\\"$$HOME\\\\.toml"')
    expect(content).toContain('WorkingDirectory=/a/100%%\n')
  })

  it.skipIf(!existsSync('/usr/bin/systemd-analyze'))('makes what systemd-analyze finds nothing wrong with', () => {
    const folder = mkdtempSync(join(tmpdir(), 'edgefrp-unit-'))
    try {
      const unit = join(folder, 'edgefrp-test.service')
      const plan = { ...LINUX, node: process.execPath, flags: ['--allow-unsafe=TokenSourceExec'] }
      writeFileSync(unit, serviceFiles(plan).content)
      const output = execFileSync('systemd-analyze', ['verify', unit], { encoding: 'utf8', stdio: 'pipe' })
      expect(output).toBe('')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('makes a job of launchd', () => {
    const mac = { ...LINUX, platform: 'darwin', config: '/etc/a&b.toml', flags: ['--edgefrp', '/etc/o.toml'] } as const
    const { path, content, start } = serviceFiles(mac)
    expect(path).toBe('/Library/LaunchDaemons/io.edgefrp.frps.plist')
    const words = [...content.matchAll(/^ {4}<string>(.*)<\/string>$/gm)].map(([, word]) => word)
    expect(words).toEqual([mac.node, mac.script, '-c', '/etc/a&amp;b.toml', '--edgefrp', '/etc/o.toml'])
    expect(content).toContain('<key>KeepAlive</key>\n  <true/>')
    expect(start).toEqual([['launchctl', 'bootstrap', 'system', path]])
    const own = serviceFiles({ ...mac, isSystem: false, home: '/Users/me', uid: 501 })
    expect(own.path).toBe('/Users/me/Library/LaunchAgents/io.edgefrp.frps.plist')
    expect(own.stop).toEqual([['launchctl', 'bootout', 'gui/501/io.edgefrp.frps']])
  })

  it('makes a task of Windows, in UTF-16 as schtasks wants it', () => {
    const { path, content, encoding, start } = serviceFiles({
      ...LINUX,
      platform: 'win32',
      node: 'C:\\Program Files\\nodejs\\node.exe',
      script: 'C:\\edgefrp\\frps.js',
      config: 'C:\\frp\\frps.toml',
      home: 'C:\\ProgramData\\edgefrp',
    })
    expect([path, encoding]).toEqual(['C:\\ProgramData\\edgefrp\\frps-task.xml', 'utf16le'])
    expect(content).toContain('<Command>C:\\Program Files\\nodejs\\node.exe</Command>')
    const words = '&quot;C:\\edgefrp\\frps.js&quot; &quot;-c&quot; &quot;C:\\frp\\frps.toml&quot;'
    expect(content).toContain(`<Arguments>${words}</Arguments>`)
    expect(content).toContain('<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>')
    expect(start[0]).toEqual(['schtasks', '/Create', '/F', '/TN', 'frps', '/XML', path])
  })
})

describe('serviceCommand', () => {
  const CALL = {
    program: 'frps',
    action: 'install',
    name: '',
    config: '/etc/frps.toml',
    edgefrp: undefined,
    allowUnsafe: [],
    strict: true,
    isPrinted: false,
  } as const

  function hostWith(codes: Record<string, number> = {}) {
    const did: string[] = []
    const host: ServiceHost = {
      plan: () => LINUX,
      write: ({ path }) => void did.push(`write ${path}`),
      remove: (path) => void did.push(`remove ${path}`),
      run(command) {
        did.push(command.join(' '))
        const code = codes[command.join(' ')] ?? 0
        return { code, output: `said ${code}\n` }
      },
    }
    return { did, host }
  }

  it('stops what runs, writes the file and starts it', () => {
    const { did, host } = hostWith({ 'systemctl disable --now frps': 1 })
    expect(serviceCommand(CALL, host).exitCode).toBe(0)
    expect(did).toEqual([
      'systemctl disable --now frps',
      'write /etc/systemd/system/frps.service',
      'systemctl daemon-reload',
      'systemctl enable frps',
      'systemctl restart frps',
    ])
  })

  it('says which command failed, and with what', () => {
    const { host } = hostWith({ 'systemctl enable frps': 3 })
    expect(() => serviceCommand(CALL, host)).toThrow('systemctl enable frps: exit code 3: said 3')
  })

  it('removes the file after the service was stopped', () => {
    const { did, host } = hostWith()
    serviceCommand({ ...CALL, action: 'uninstall', config: '' }, host)
    expect(did).toEqual([
      'systemctl disable --now frps',
      'remove /etc/systemd/system/frps.service',
      'systemctl daemon-reload',
    ])
  })

  it("passes the system's answer and exit code on for status", () => {
    const { host } = hostWith({ 'systemctl status --no-pager frps': 3 })
    expect(serviceCommand({ ...CALL, action: 'status' }, host)).toEqual({ output: 'said 3', exitCode: 3 })
  })

  it('does nothing with --print', () => {
    const { did, host } = hostWith()
    const { output } = serviceCommand({ ...CALL, isPrinted: true }, host)
    expect(output).toMatch(/^# \/etc\/systemd\/system\/frps.service\n\[Unit\]\n/)
    expect(did).toEqual([])
  })

  it.each([
    [{ action: 'start' }, 'use install, uninstall or status'],
    [{ config: '' }, 'name the configuration with -c'],
    [{ name: 'a b' }, 'letters, digits and _ . - only'],
    [{ name: '../x/y' }, 'letters, digits and _ . - only'],
  ])('refuses %j', (more, why) => {
    expect(() => serviceCommand({ ...CALL, ...more }, hostWith().host)).toThrow(why)
  })
})
