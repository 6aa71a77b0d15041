import { oversizedAnnotations } from '../contract/annotations.ts'
import type { Path, Problems } from './problems.ts'

/** Kubernetes `IsQualifiedName`: the part behind the slash, and the DNS-1123 subdomain before it. */
const NAME_PART = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const MAX_NAME_LENGTH = 63
const MAX_PREFIX_LENGTH = 253
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** Annotation keys are Kubernetes qualified names, and all of them together have a size. */
export function checkAnnotations(annotations: Record<string, string>, path: Path, problems: Problems): void {
  for (const key of Object.keys(annotations)) {
    const wrong = wrongWith(key.toLowerCase())
    if (wrong !== undefined) problems.add([...path, key], `annotation key ${key} is invalid: ${wrong}`)
  }
  const oversized = oversizedAnnotations(annotations)
  if (oversized !== undefined) problems.add(path, oversized)
}

function wrongWith(key: string): string | undefined {
  const parts = key.split('/')
  const name = parts.at(-1) ?? ''
  const prefix = parts.length === 2 ? (parts[0] ?? '') : undefined
  if (parts.length > 2) return 'a qualified name is a name with at most one prefix and a slash'
  if (prefix === '') return 'prefix part must be non-empty'
  if (prefix !== undefined && !isSubdomain(prefix)) return 'prefix part must be a lowercase RFC 1123 subdomain'
  if (name === '') return 'name part must be non-empty'
  if (name.length > MAX_NAME_LENGTH) return `name part must be no more than ${MAX_NAME_LENGTH} characters`
  if (NAME_PART.test(name)) return undefined
  return "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
}

function isSubdomain(name: string): boolean {
  return name.length <= MAX_PREFIX_LENGTH && name.split('.').every((label) => DNS_LABEL.test(label))
}
