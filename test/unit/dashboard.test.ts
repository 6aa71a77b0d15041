import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PAGES } from '../../dashboard/pages.ts'

const FOLDER = join(import.meta.dirname, '../../dashboard')

describe('the status page', () => {
  it.each([
    ['/', 'index.html'],
    ['/status.css', 'status.css'],
    ['/icon.svg', 'icon.svg'],
    ['/status.js', 'status.js'],
  ])('serves at %s what %s says (else run scripts/embed-dashboard.mjs)', (path, file) => {
    expect(PAGES[path]?.text).toBe(readFileSync(join(FOLDER, file), 'utf8'))
  })

  it('has no way to turn text into markup, and asks nobody else', () => {
    const script = PAGES['/status.js']?.text ?? ''
    expect(script).toContain('textContent')
    expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|setAttribute|eval\(|Function\(/)
    for (const { text } of Object.values(PAGES))
      expect(text.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:\/\//)
    // The policy allows neither a script nor a style in the page itself.
    expect(PAGES['/']?.text).not.toMatch(/<style|style=|<script(?![^>]* src=)| on[a-z]+=/)
  })
})
