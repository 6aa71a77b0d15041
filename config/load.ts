import { isTable, member } from './field.ts'
import { type Find, type LineOf, type Parsed, parseText } from './formats.ts'
import { completeFrpc, type FrpcOptions, readSections, type Sections } from './frpc.ts'
import { completeFrps, type FrpsOptions, type Loaded } from './frps.ts'
import { frpcFromIni, frpsFromIni, looksLikeIni, type Translated } from './legacy-ini.ts'
import { lowered, overlay } from './overlay.ts'
import { type Locate, Problems } from './problems.ts'
import type { Context } from './reading.ts'
import { INI_FUNCTIONS, render, V1_FUNCTIONS } from './template.ts'

export type { FrpcOptions, ServerOptions } from './frpc.ts'
export { completeFrpc, completeProxy, completeVisitor, wireName } from './frpc.ts'
export type { FrpsOptions, Loaded } from './frps.ts'
export { completeFrps } from './frps.ts'
export type { PluginOptions } from './plugins.ts'
export type { ProxyBaseOptions, ProxyOf, ProxyOptions, ProxyType } from './proxies.ts'
export type { Context } from './reading.ts'
export type { VisitorOptions, VisitorType } from './visitors.ts'

/** A configuration file that somebody has read. */
export interface SourceFile {
  text: string
  fileName: string
}

/** All that the meaning of a file hangs on. */
export interface ConfigSource extends SourceFile {
  /** frp's `--strict_config`: an unknown key is an error. Default true; INI has warnings instead. */
  strict?: boolean
  /** Environment variables, for `{{ .Envs.X }}` and `http_proxy`. */
  envs: Readonly<Record<string, string>>
  /** A file with the keys of the table `edgefrp` alone, beside any format; a key in both is taken from it. */
  edgefrp?: SourceFile
  /** Reads the files that a glob of `includes` names, in alphabetical order; frpc only. */
  readInclude?: (glob: string) => readonly SourceFile[]
  /** frp's `--allow-unsafe`. */
  allowUnsafe?: readonly string[]
}

/** frp prints this line at the start. */
const INI_WARNING =
  'ini format is deprecated and the support will be removed in the future, please use yaml/json/toml format instead!'

/**
 * The relay's options from the text of frps.toml (or YAML, JSON, INI). Warnings are lines without a prefix.
 * Throws FrpError CONFIG_SYNTAX or CONFIG_FIELD with one line a problem: `frps.toml:3: what is wrong`.
 */
export function loadFrps(source: ConfigSource): Loaded<FrpsOptions> {
  const file = parseMain(source, frpsFromIni)
  const ours = withOurKeys(file, source)
  const loaded = completeFrps(ours.raw, contextOf(source, ours.find))
  return { options: loaded.options, warnings: [...file.warnings, ...loaded.warnings] }
}

/** The client's options from the text of frpc.toml (or YAML, JSON, INI); otherwise as {@link loadFrps}. */
export function loadFrpc(source: ConfigSource): Loaded<FrpcOptions> {
  const file = parseMain(source, (text, fileName, lineOf) =>
    frpcFromIni(text, fileName, lineOf, (glob) =>
      includesOf(source, glob, fileName).map((included) => ({
        ...included,
        ...render(included.text, included.fileName, source.envs, INI_FUNCTIONS),
      })),
    ),
  )
  const ours = withOurKeys(file, source)
  const included = file.isIni ? [] : readIncludes(ours.raw, source)
  const loaded = completeFrpc(ours.raw, contextOf(source, ours.find), included)
  return { options: loaded.options, warnings: [...file.warnings, ...loaded.warnings] }
}

type FromIni = (text: string, fileName: string, lineOf: LineOf) => Translated

function parseMain(source: ConfigSource, fromIni: FromIni): Translated & { isIni: boolean } {
  if (looksLikeIni(source.text)) {
    const { text, lineOf } = render(source.text, source.fileName, source.envs, INI_FUNCTIONS)
    const translated = fromIni(text, source.fileName, lineOf)
    return { ...translated, isIni: true, warnings: [INI_WARNING, ...translated.warnings] }
  }
  return { ...parseRendered(source, source.envs), isIni: false, warnings: [] }
}

function parseRendered(file: SourceFile, envs: Readonly<Record<string, string>>): Parsed {
  const { text, lineOf } = render(file.text, file.fileName, envs, V1_FUNCTIONS)
  return parseText(text, file.fileName, lineOf)
}

/** Lays the file of our own keys over the table `edgefrp`. */
function withOurKeys(file: Parsed, source: ConfigSource): Parsed {
  if (source.edgefrp === undefined) return file
  const { raw, find } = parseRendered(source.edgefrp, source.envs)
  const isWhole = member(raw, 'edgefrp') !== undefined
  const table = isWhole ? raw : { edgefrp: raw }
  const problems = new Problems(nearest(find, source.edgefrp.fileName))
  for (const key of Object.keys(table)) {
    if (key.toLowerCase() === 'edgefrp') continue
    problems.add([key], `${key}: only keys of the table edgefrp may stand in this file`)
  }
  problems.throwIfAny()
  const others = Object.entries(file.raw).filter(([key]) => key.toLowerCase() !== 'edgefrp')
  const below = lowered(member(file.raw, 'edgefrp'))
  const edgefrp = member(table, 'edgefrp')
  const merged = isTable(edgefrp) ? overlay(below, lowered(edgefrp)) : edgefrp
  return {
    raw: { ...Object.fromEntries(others), edgefrp: merged },
    find: (path) => find(isWhole ? path : path.slice(1)) ?? file.find(path),
  }
}

function readIncludes(raw: Record<string, unknown>, source: ConfigSource): Sections[] {
  const globs = member(raw, 'includes')
  if (!Array.isArray(globs)) return [] // a wrong type is told by completeFrpc
  return globs
    .filter((glob): glob is string => typeof glob === 'string')
    .flatMap((glob) => includesOf(source, glob, source.fileName))
    .map((file) => {
      const parsed = parseRendered(file, source.envs)
      return readSections(parsed.raw, contextOf({ ...source, fileName: file.fileName }, parsed.find))
    })
}

function includesOf(source: ConfigSource, glob: string, fileName: string): readonly SourceFile[] {
  if (source.readInclude !== undefined) return source.readInclude(glob)
  const problems = new Problems(() => ({ fileName }))
  problems.add(['includes'], `${glob} cannot be read here`)
  problems.throwIfAny()
  return []
}

function contextOf(source: ConfigSource, find: Find): Context {
  const { fileName, envs } = source
  return {
    fileName,
    locate: nearest(find, fileName),
    strict: source.strict ?? true,
    envs,
    allowUnsafe: source.allowUnsafe ?? [],
  }
}

/** The place of a path, or of the nearest table around it. */
function nearest(find: Find, fileName: string): Locate {
  return (path) => {
    for (let length = path.length; length > 0; length -= 1) {
      const place = find(path.slice(0, length))
      if (place !== undefined) return place
    }
    return { fileName }
  }
}
