import { expect, it } from 'vitest'
import { oversizedAnnotations } from '../../contract/annotations.ts'

it('counts keys and values of annotations in bytes of UTF-8', () => {
  const half = 'é'.repeat(65_535)
  expect(oversizedAnnotations({ a: half, b: half, cd: '' })).toBe(undefined)
  expect(oversizedAnnotations({ a: half, b: half, cd: '!' })).toBe(
    'annotations size 262145 is larger than limit 262144',
  )
})
