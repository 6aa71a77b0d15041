import { isTable } from './field.ts'

/** Keys whose own keys are names that a person chose: their case stays. */
const FREE_KEYS: readonly string[] = ['additionalendpointparams']

/** A deep copy with lower-case keys, so that two spellings of one key meet in {@link overlay}. */
export function lowered(value: unknown): Record<string, unknown> {
  if (!isTable(value)) return {}
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const name = key.toLowerCase()
      return [name, isTable(inner) && !FREE_KEYS.includes(name) ? lowered(inner) : inner]
    }),
  )
}

/** `top` over `base`, table by table; neither is changed. */
export function overlay(base: Record<string, unknown>, top: Record<string, unknown>): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(top)) {
    const below = Object.hasOwn(base, key) ? base[key] : undefined
    const laid = isTable(value) && isTable(below) ? overlay(below, value) : value
    // defineProperty: a key `__proto__` must stay a key.
    Object.defineProperty(merged, key, { value: laid, enumerable: true, configurable: true, writable: true })
  }
  return merged
}
