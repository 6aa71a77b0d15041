/** frp: pkg/config/v1/validation/proxy.go, TotalAnnotationSizeLimitB; in bytes of UTF-8. */
const MAX_ANNOTATIONS_BYTES = 256 * 1024

/** frp's words for annotations of one proxy that are too large, keys and values together; undefined: they are not. */
export function oversizedAnnotations(annotations: Readonly<Record<string, string>>): string | undefined {
  const encoder = new TextEncoder()
  let bytes = 0
  for (const [key, value] of Object.entries(annotations)) {
    bytes += encoder.encode(key).length + encoder.encode(value).length
  }
  if (bytes <= MAX_ANNOTATIONS_BYTES) return undefined
  return `annotations size ${bytes} is larger than limit ${MAX_ANNOTATIONS_BYTES}`
}
