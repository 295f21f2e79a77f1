// Suites as the page lists them.
import type { Suite } from './api.ts'

const worst: Suite['state'][] = ['expired', 'stale', 'unchecked', 'fresh']

/** rank is smaller the more a suite needs a look. */
const rank = (s: Suite) => worst.indexOf(s.state) * 2 + Number(s.signed)

/** merged makes one row of the http and https forms of a suite, which is the
 * one of them that needs a look more. */
export function merged(all: Suite[]): (Suite & { schemes: string })[] {
  const rows = new Map<string, Suite & { schemes: string }>()
  for (const s of all) {
    const [scheme = '', rest = ''] = s.url.split('://')
    const other = rows.get(rest)
    if (!other) rows.set(rest, { ...s, schemes: scheme })
    else rows.set(rest, { ...(rank(s) < rank(other) ? s : other), schemes: 'http and https' })
  }
  return [...rows.values()]
}
