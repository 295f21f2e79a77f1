// What became of a prefetch, in words.
import type { Prefetch } from './api.ts'
import { bytes, count, span } from './units.ts'

export const files = (n: number) => (n === 1 ? '1 file' : count(n) + ' files')

/** result describes a prefetch that has ended. */
export function result(p: Prefetch): string {
  const said: string[] = []
  if (p.files_done > 0)
    said.push(`Fetched ${files(p.files_done)}, ${bytes(p.bytes_done)}, in ${span((Date.parse(p.ended!) - Date.parse(p.started!)) / 1000)}.`)
  else if (p.files > 0 || p.error) said.push('Nothing was fetched.')
  else said.push('There was nothing to fetch: the newest of what clients had is here.')
  if (p.files_failed > 0) said.push(`${files(p.files_failed)} could not be had; the next prefetch tries again.`)
  if (p.no_room > 0)
    said.push(`${files(p.no_room)} found no room (MILLPOND_CACHE_SIZE): only what is superseded is evicted for what nobody asked for.`)
  if (p.no_budget > 0) said.push(`${files(p.no_budget)} exceeded what may be fetched ahead in a day (MILLPOND_PREFETCH).`)
  if (p.error) said.push(`It did not do all: ${p.error}.`)
  return said.join(' ')
}
