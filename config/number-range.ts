/** There are no more ports than this; frp has no bound, and a typo in one would fill the memory. */
const MAX_NUMBERS = 65_536

/** Either the numbers or what is wrong with the text. */
export type NumberRange = { numbers: number[]; wrong?: undefined } | { wrong: string }

/** `1000-1002,1005` → 1000, 1001, 1002, 1005 (frp: `pkg/util/util/util.go`, ParseRangeNumbers). */
export function parseNumberRange(text: string): NumberRange {
  const ranges = parseRanges(text)
  if ('wrong' in ranges) return ranges
  const numbers: number[] = []
  for (const { start, end } of ranges.ranges) {
    if (numbers.length + (end - start) >= MAX_NUMBERS) {
      return { wrong: `range number is invalid, ${text.trim().slice(0, 40)} has more than ${MAX_NUMBERS} numbers` }
    }
    for (let number = start; number <= end; number += 1) numbers.push(number)
  }
  return { numbers }
}

/** The same text as ranges, for `allow_ports`. */
export function parseRanges(text: string): { ranges: { start: number; end: number }[] } | { wrong: string } {
  const ranges: { start: number; end: number }[] = []
  for (const item of text.trim().split(',')) {
    const parts = item.split('-').map((part) => part.trim())
    const [first, last = first] = parts
    if (parts.length > 2 || first === undefined || last === undefined) return { wrong: 'range number is invalid' }
    const bad = parts.find((part) => !/^\+?\d{1,15}$/.test(part))
    if (bad !== undefined) return { wrong: `range number is invalid, parsing ${JSON.stringify(bad)}: invalid syntax` }
    const [start, end] = [Number(first), Number(last)]
    if (end < start) return { wrong: 'range number is invalid' }
    ranges.push({ start, end })
  }
  return { ranges }
}
