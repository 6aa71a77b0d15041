import type { LineOf, Parsed } from './formats.ts'
import {
  ANY_PROXY_KEYS,
  ANY_VISITOR_KEYS,
  DASHBOARD_TLS_KEYS,
  FRPC_KEYS,
  FRPC_PREFIXES,
  FRPS_KEYS,
  HTTP_PLUGIN_KEYS,
  HTTP_PREFIXES,
  INI_SCOPES,
  PLUGIN_HEADER_PREFIX,
  PLUGIN_KEYS,
  PLUGINS_WITH_HEADERS,
  PROXY_KEYS,
  PROXY_PREFIXES,
  VISITOR_KEYS,
} from './ini-keys.ts'
import { DEFAULT_SECTION, scanIni } from './ini-text.ts'
import { listOf, type PlacedSection, placedSections, Translation } from './ini-translation.ts'
import { parseNumberRange } from './number-range.ts'

/** frp's INI files, turned once, at the door, into the object that the TOML form has. */
export interface Translated extends Parsed {
  warnings: string[]
}

/** A file that `includes` names, already rendered. */
export interface IncludedIni {
  text: string
  fileName: string
  lineOf: LineOf
}

/** frp: `load.go`, DetectLegacyINIFormat, on the text before templates: INI is what parses so and has `[common]`. */
export function looksLikeIni(text: string): boolean {
  if (!/^[ \t]*\[common\]/m.test(text)) return false
  try {
    return scanIni(text, '').some((section) => section.name === 'common')
  } catch {
    // What is no INI gets its error from the parser that it is for.
    return false
  }
}

/** frps.ini. Throws FrpError CONFIG_SYNTAX or CONFIG_FIELD. */
export function frpsFromIni(text: string, fileName: string, lineOf: LineOf): Translated {
  const translation = new Translation(fileName)
  // Unlike the TOML form (frp: `legacy/server.go`, GetDefaultServerConf).
  translation.set(['webServer', 'addr'], '0.0.0.0')
  let plugins = 0
  for (const section of placedSections(text, fileName, lineOf)) {
    if (section.name === 'common') serverCommon(translation, section)
    else if (section.name.startsWith('plugin.')) {
      const path = ['httpPlugins', plugins]
      plugins += 1
      translation.section(section, { keys: HTTP_PLUGIN_KEYS, path })
      translation.set([...path, 'name'], section.name.slice('plugin.'.length).trim())
    } else unusedSection(translation, section)
  }
  translation.problems.throwIfAny()
  return translation
}

/** frpc.ini; `readInclude` gives the files of a glob. Throws as {@link frpsFromIni}. */
export function frpcFromIni(
  text: string,
  fileName: string,
  lineOf: LineOf,
  readInclude: (glob: string) => readonly IncludedIni[],
): Translated {
  const translation = new Translation(fileName)
  const own = placedSections(text, fileName, lineOf)
  for (const section of own) {
    if (section.name !== 'common') continue
    const common = withScopes(translation, section)
    translation.section(common, { keys: FRPC_KEYS, prefixes: FRPC_PREFIXES, path: [] })
  }
  const globs = own.flatMap((section) => (section.name === 'common' ? listOf(valueIn(section, 'includes')) : []))
  const included = globs.flatMap(readInclude).flatMap((file) => placedSections(file.text, file.fileName, file.lineOf))
  const sections = [...own, ...included].filter((section) => section.name !== 'common' || !own.includes(section))
  const counts = { proxies: 0, visitors: 0 }
  for (const section of sections.flatMap((one) => expandRange(translation, one))) {
    if (section.name === DEFAULT_SECTION || section.name === 'common') unusedSection(translation, section)
    else proxyOrVisitor(translation, section, counts)
  }
  translation.problems.throwIfAny()
  return translation
}

function serverCommon(translation: Translation, section: PlacedSection): void {
  const rest = withScopes(translation, section)
  const mode = rest.entries.findLast((entry) => entry.key === 'dashboard_tls_mode')
  const isOn = mode !== undefined && translation.isTrue(section, mode)
  if (isOn) translation.set(['webServer', 'tls'], {})
  const entries = rest.entries.filter((entry) => {
    if (entry.key === 'dashboard_tls_mode') return false
    if (isOn || !Object.hasOwn(DASHBOARD_TLS_KEYS, entry.key)) return true
    translation.unused(section, entry, 'is not used without dashboard_tls_mode = true')
    return false
  })
  translation.section({ ...section, entries }, { keys: { ...FRPS_KEYS, ...DASHBOARD_TLS_KEYS }, path: [] })
}

/** Takes the booleans that are scopes of `auth` out of a section. */
function withScopes(translation: Translation, section: PlacedSection): PlacedSection {
  const scopes = new Set<string>()
  const entries = section.entries.filter((entry) => {
    const scope = Object.hasOwn(INI_SCOPES, entry.key) ? INI_SCOPES[entry.key] : undefined
    if (scope === undefined) return true
    if (translation.isTrue(section, entry)) scopes.add(scope)
    return false
  })
  if (scopes.size > 0) translation.set(['auth', 'additionalScopes'], [...scopes])
  return { ...section, entries }
}

/** `[range:NAME]` is one section for each pair of ports, NAME_0, NAME_1 … */
function expandRange(translation: Translation, section: PlacedSection): PlacedSection[] {
  if (!section.name.startsWith('range:')) return [section]
  const path = ['range', section.name]
  translation.place(path, section, `[${section.name}]`, section.line)
  const wrong = (text: string): PlacedSection[] => {
    translation.problems.add(path, text)
    return []
  }
  const [local, remote] = [valueIn(section, 'local_port'), valueIn(section, 'remote_port')]
  if (local === '' || remote === '') return wrong('local_port or remote_port is empty')
  const [locals, remotes] = [parseNumberRange(local), parseNumberRange(remote)]
  if (locals.wrong !== undefined) return wrong(`local_port: ${locals.wrong}`)
  if (remotes.wrong !== undefined) return wrong(`remote_port: ${remotes.wrong}`)
  if (locals.numbers.length !== remotes.numbers.length) {
    return wrong('local ports number should be same with remote ports number')
  }
  const prefix = section.name.slice('range:'.length).trim()
  return locals.numbers.map((localPort, index) => ({
    ...section,
    name: `${prefix}_${index}`,
    entries: section.entries.map((entry) => {
      if (entry.key === 'local_port') return { ...entry, value: String(localPort) }
      return entry.key === 'remote_port' ? { ...entry, value: String(remotes.numbers[index]) } : entry
    }),
  }))
}

function proxyOrVisitor(
  translation: Translation,
  section: PlacedSection,
  counts: { proxies: number; visitors: number },
): void {
  const role = valueIn(section, 'role') || 'server'
  const kind = role === 'visitor' ? 'visitors' : 'proxies'
  const path = [kind, counts[kind]]
  counts[kind] += 1
  if (role !== 'server' && role !== 'visitor') {
    translation.place(path, section, `[${section.name}] role`, section.line)
    translation.problems.add(path, `proxy ${section.name} role should be 'server' or 'visitor'`)
    return
  }
  if (role === 'visitor') {
    const type = valueIn(section, 'type')
    const keys = Object.hasOwn(VISITOR_KEYS, type) ? VISITOR_KEYS[type] : undefined
    translation.section(section, { keys: keys ?? ANY_VISITOR_KEYS, path })
  } else proxy(translation, section, path)
  translation.set([...path, 'name'], section.name)
}

function proxy(translation: Translation, section: PlacedSection, path: (string | number)[]): void {
  const type = valueIn(section, 'type') || 'tcp'
  const plugin = valueIn(section, 'plugin')
  const keys = Object.hasOwn(PROXY_KEYS, type) ? PROXY_KEYS[type] : undefined
  const pluginKeys = Object.hasOwn(PLUGIN_KEYS, plugin) ? PLUGIN_KEYS[plugin] : undefined
  const prefixes = type === 'http' ? HTTP_PREFIXES : PROXY_PREFIXES
  translation.section(
    // `plugin =` is no plugin, where a TOML table without a type is an error.
    { ...section, entries: section.entries.filter((entry) => entry.key !== 'plugin' || entry.value !== '') },
    {
      keys: { ...(keys ?? ANY_PROXY_KEYS), ...pluginKeys },
      prefixes: PLUGINS_WITH_HEADERS.includes(plugin) ? { ...prefixes, ...PLUGIN_HEADER_PREFIX } : prefixes,
      path,
    },
  )
  translation.set([...path, 'type'], type)
}

function unusedSection(translation: Translation, section: PlacedSection): void {
  translation.warn(section, section.line, `section [${section.name}] is not used`)
}

/** The last value of a key, "" when there is none. */
function valueIn(section: PlacedSection, key: string): string {
  return section.entries.findLast((entry) => entry.key === key)?.value ?? ''
}
