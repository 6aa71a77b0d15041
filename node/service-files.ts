import { posix, win32 } from 'node:path'

/** A program of ours that is to run from the start of the machine on. */
export interface ServicePlan {
  program: 'frps' | 'frpc'
  /** What the system calls it; `program` unless there are several. */
  name: string
  platform: ServicePlatform
  /** Absolute paths. */
  node: string
  script: string
  config: string
  /** More flags of the command line. */
  flags: readonly string[]
  /** For the whole machine; false: for the user who installs it. */
  isSystem: boolean
  /** Home folder and number of that user. */
  home: string
  uid: number
}

type ServicePlatform = 'linux' | 'darwin' | 'win32'

/** A command and its arguments. */
export type ServiceCommand = readonly [string, ...string[]]

/** What has to be written and run. */
export interface ServiceFiles {
  path: string
  content: string
  /** schtasks reads UTF-16 alone without a doubt. */
  encoding: 'utf8' | 'utf16le'
  start: readonly ServiceCommand[]
  /** What fails here was not running. */
  stop: readonly ServiceCommand[]
  /** After the file was removed. */
  afterRemoval: readonly ServiceCommand[]
  status: ServiceCommand
}

const ABOUT = { frps: 'edgefrp relay (frps)', frpc: 'edgefrp client (frpc)' } as const
/** Seconds until a program that ended is started again. */
const RESTART_SECONDS = 5
/** The highest that today's distributions allow; a relay needs one for each user. */
const OPEN_FILES = 1_048_576

/** The service of a plan for systemd, launchd or the task scheduler of Windows. */
export function serviceFiles(plan: ServicePlan): ServiceFiles {
  if (plan.platform === 'linux') return systemdUnit(plan)
  return plan.platform === 'darwin' ? launchdJob(plan) : windowsTask(plan)
}

function systemdUnit(plan: ServicePlan): ServiceFiles {
  const { program, name, node, script, config, flags, isSystem, home } = plan
  const folder = isSystem ? '/etc/systemd/system' : posix.join(home, '.config/systemd/user')
  const run = [node, script].map(systemdWord).join(' ')
  const read = ['-c', config, ...flags].map(systemdWord).join(' ')
  // frps reads its file again on a signal; frpc is asked by its own admin API, as in frp.
  const reload = program === 'frps' ? '/bin/kill -HUP $MAINPID' : `${run} reload ${read}`
  const content = `[Unit]
Description=${ABOUT[program]}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=${run} ${read}
ExecReload=${reload}
WorkingDirectory=${posix.dirname(config).replaceAll('%', '%%')}
Restart=always
RestartSec=${RESTART_SECONDS}
LimitNOFILE=${OPEN_FILES}
NoNewPrivileges=true

[Install]
WantedBy=${isSystem ? 'multi-user.target' : 'default.target'}
`
  const systemctl = (...args: string[]): ServiceCommand => ['systemctl', ...(isSystem ? [] : ['--user']), ...args]
  return {
    path: posix.join(folder, `${name}.service`),
    content,
    encoding: 'utf8',
    start: [systemctl('daemon-reload'), systemctl('enable', name), systemctl('restart', name)],
    stop: [systemctl('disable', '--now', name)],
    afterRemoval: [systemctl('daemon-reload')],
    status: systemctl('status', '--no-pager', name),
  }
}

/** systemd.service(5), "Command lines": quotes, and its own % and $. */
function systemdWord(text: string): string {
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%').replaceAll('$', '$$$$')
  return `"${escaped}"`
}

function launchdJob(plan: ServicePlan): ServiceFiles {
  const { program, name, node, script, config, flags, isSystem, home, uid } = plan
  const label = `io.edgefrp.${name}`
  const base = isSystem ? '/Library' : posix.join(home, 'Library')
  const path = posix.join(base, isSystem ? 'LaunchDaemons' : 'LaunchAgents', `${label}.plist`)
  const log = xml(posix.join(base, 'Logs', `${name}.log`))
  const strings = [node, script, '-c', config, ...flags].map((word) => `    <string>${xml(word)}</string>`).join('\n')
  const content = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- ${ABOUT[program]} -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${xml(label)}</string>
  <key>ProgramArguments</key>
  <array>
${strings}
  </array>
  <key>WorkingDirectory</key>
  <string>${xml(posix.dirname(config))}</string>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <true/>
  <key>ThrottleInterval</key>
  <integer>${RESTART_SECONDS}</integer>
  <key>StandardOutPath</key>
  <string>${log}</string>
  <key>StandardErrorPath</key>
  <string>${log}</string>
</dict>
</plist>
`
  const domain = isSystem ? 'system' : `gui/${uid}`
  return {
    path,
    content,
    encoding: 'utf8',
    start: [['launchctl', 'bootstrap', domain, path]],
    stop: [['launchctl', 'bootout', `${domain}/${label}`]],
    afterRemoval: [],
    status: ['launchctl', 'print', `${domain}/${label}`],
  }
}

function windowsTask(plan: ServicePlan): ServiceFiles {
  const { program, name, node, script, config, flags, home } = plan
  const path = win32.join(home, `${name}-task.xml`)
  // CommandLineToArgvW's rule; a path of Windows has no quotes in it.
  const words = [script, '-c', config, ...flags].map((word) => `"${word}"`).join(' ')
  const content = `<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>${ABOUT[program]}</Description>
  </RegistrationInfo>
  <Triggers>
    <BootTrigger>
      <Enabled>true</Enabled>
    </BootTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>S-1-5-18</UserId>
      <RunLevel>HighestAvailable</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>${xml(node)}</Command>
      <Arguments>${xml(words)}</Arguments>
      <WorkingDirectory>${xml(win32.dirname(config))}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
`
  return {
    path,
    content,
    encoding: 'utf16le',
    start: [
      ['schtasks', '/Create', '/F', '/TN', name, '/XML', path],
      ['schtasks', '/Run', '/TN', name],
    ],
    stop: [
      ['schtasks', '/End', '/TN', name],
      ['schtasks', '/Delete', '/F', '/TN', name],
    ],
    afterRemoval: [],
    status: ['schtasks', '/Query', '/TN', name, '/V', '/FO', 'LIST'],
  }
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
