// What the view Archive computes: times, places on a timeline, lines for
// sources.list, and what became of things, in words.
import type { FollowedSuite, Generation, Index, KeptSlice, Lack, PrefetchCost, Ring } from './api.ts'
import { day, span } from './units.ts'

/** shownDays is how far back timelines go: about as long as generations are kept. */
export const shownDays = 30

const dayLong = 86_400_000

/** unusedDays is for how long a suite is followed that no client uses any more. */
const unusedDays = 14

/** depths says what is fetched before clients ask. */
export const depths: Record<FollowedSuite['depth'], string> = {
  indices: 'indices alone',
  used: 'indices, and new versions of packages that clients use',
  selected: 'indices, and the packages that the setting selects',
  all: 'indices and all packages',
}

/** reason is why a suite is followed. */
export function reason(s: FollowedSuite): string {
  if (s.why === 'setting') return 'followed by MILLPOND_FOLLOW'
  return s.used
    ? `followed because clients use it, until ${day(Date.parse(s.used) + unusedDays * dayLong)} unless they use it again`
    : 'used by clients'
}

/** within is how far ahead a time is. */
export function within(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000
  return seconds < 5 ? 'now' : 'in ' + span(seconds)
}

/** place is where on a timeline a time is, in percent; undefined before its
 * beginning. Marks at the ends stay whole. */
export function place(time: string, now: number): number | undefined {
  const part = 1 - (now - Date.parse(time)) / (shownDays * dayLong)
  if (part < 0) return undefined
  return 1.5 + 97 * Math.min(1, part)
}

/** address is a suite's URL in the two parts that sources.list has. */
export function address(url: string): { archive: string; suite: string } {
  const at = url.indexOf('/dists/')
  if (at < 0) return { archive: url, suite: './' }
  return { archive: url.slice(0, at), suite: url.slice(at + '/dists/'.length) }
}

/** archiveName is the archive of a suite as people call it. */
export function archiveName(url: string): string {
  return address(url).archive.replace(/^http:\/\//, '')
}

/** bare is a URL as it follows the box's own: http is left out. */
export function bare(url: string): string {
  return url.replace(/^http:\/\//, '').replace(/^https:\/\//, 'https/')
}

/** components are those whose indices the box has read. */
export function components(indices: Index[]): string[] {
  const all = indices.flatMap((i) => /^(.+)\/(?:binary-[^/]+|source)\//.exec(i.path)?.[1] ?? [])
  return [...new Set(all)]
}

/** expired reports whether apt refuses a Release for its age. */
export function expired(g: { valid_until: string | null }, now: number): boolean {
  return g.valid_until !== null && Date.parse(g.valid_until) <= now
}

/** snapshotLine is the line of sources.list that has a suite as it was in a
 * generation, through the box at that address. Without components of the setting
 * it has those that the box has read. */
export function snapshotLine(at: string, s: FollowedSuite, g: Generation, read: string[], now: number): string {
  const options = expired(g, now) ? '[check-valid-until=no] ' : ''
  const names = s.components.length > 0 ? s.components : read
  const rest = s.suite.endsWith('/') ? [s.suite] : [s.suite, ...(names.length > 0 ? names : ['main'])]
  return `deb ${options}http://${at}/snapshot/${g.snapshot}/${bare(s.archive)} ${rest.join(' ')}`
}

/** duration is a length of time in its units: 1 d 12 h. */
export function duration(seconds: number): string {
  const parts: string[] = []
  for (const [size, unit] of [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ] as const) {
    if (seconds < size) continue
    parts.push(`${Math.floor(seconds / size)}\u00a0${unit}`)
    seconds %= size
  }
  return parts.join(' ')
}

/** rule is what a ring's clients get. */
export function rule(r: Ring): string {
  const from = r.after ? `the ring ${r.after}` : 'this box'
  if (r.delay === 0) return `Gets what ${from} has, at once.`
  return `Gets what ${from} has had for ${duration(r.delay)}${r.security ? '; security suites at once' : ''}.`
}

export interface Parts {
  fetched: number
  used: number
  wasted: number
  /** open is what is neither used nor wasted yet. */
  open: number
}

/** partsOf divides what was fetched ahead by what became of it. */
export function partsOf(c: PrefetchCost): Parts {
  const fetched = c.from_peers + c.from_mirrors
  return { fetched, used: c.used_bytes, wasted: c.wasted_bytes, open: Math.max(0, fetched - c.used_bytes - c.wasted_bytes) }
}

export interface System {
  name: string
  slices: KeptSlice[]
  /** lacks of all of its suites, each once. */
  lacks: Lack[]
  more: number
}

/** systems groups what is kept by what is resolved together. */
export function systems(slices: KeptSlice[]): System[] {
  const all = new Map<string, System>()
  for (const s of slices) {
    const of = all.get(s.system) ?? { name: s.system, slices: [], lacks: [], more: 0 }
    all.set(s.system, of)
    of.slices.push(s)
    for (const l of s.lacks) if (!of.lacks.some((o) => o.package === l.package && o.needs === l.needs)) of.lacks.push(l)
    of.more += s.lacks_more
  }
  return [...all.values()]
}
