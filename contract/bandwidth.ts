/** frp: `pkg/config/types/types.go`: "1.5MB", "512KB", 1024-based. */
const BANDWIDTH = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(MB|KB)$/

/** The bytes a second of a `bandwidthLimit`; undefined when there is none. Throws nothing: the file was checked. */
export function bandwidthBytes(limit: string): number | undefined {
  const [, amount, unit] = BANDWIDTH.exec(limit.trim()) ?? []
  if (amount === undefined) return undefined
  return Math.trunc(Number(amount) * (unit === 'MB' ? 1024 * 1024 : 1024))
}
