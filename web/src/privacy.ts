// What the box does not keep about clients (MILLPOND_PRIVACY), in words.
import type { Privacy } from './api.ts'
import { count } from './units.ts'

/** others is the account of all that have none of their own. */
export const others = 'others'

/** notKept is a sentence, '' if everything is kept. */
export function notKept(p: Privacy): string {
  if (p.no_clients) return 'This box keeps nothing about single clients: all of them count as “others”.'
  const parts: string[] = []
  if (p.no_client_names) parts.push('no names')
  if (p.no_packages_per_client) parts.push('no packages')
  if (p.days > 0) parts.push(p.days === 1 ? 'nothing older than a day' : `nothing older than ${count(p.days)} days`)
  const last = parts.pop()
  if (!last) return ''
  return `About its clients, this box keeps ${parts.length > 0 ? `${parts.join(', ')} and ${last}` : last}.`
}
