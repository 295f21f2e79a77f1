// What the chart shows of a period: which buckets are asked for, and how they
// are put together into the reader's own hours and days.
import type { Counts, Periods, Point, Summary } from './api.ts'

export type Period = 'day' | 'week' | 'month' | 'ever'

export const periods: { id: Period; name: string; phrase: string }[] = [
  { id: 'day', name: 'Today', phrase: 'today' },
  { id: 'week', name: '7 days', phrase: 'in the last 7 days' },
  { id: 'month', name: '30 days', phrase: 'in the last 30 days' },
  { id: 'ever', name: 'Ever', phrase: 'since the box began' },
]

const keys = [
  'requests',
  'saved_bytes',
  'client_bytes',
  'client_bytes_from_store',
  'client_bytes_from_peers',
  'client_bytes_from_mirror',
  'mirror_bytes',
  'peer_bytes_in',
  'peer_bytes_out',
  'tunnel_bytes',
  'mirror_requests',
  'revalidations_avoided',
] as const satisfies (keyof Counts)[]

export function none(): Counts {
  return Object.fromEntries(keys.map((k) => [k, 0])) as unknown as Counts
}

/** current is a period's counts with what came since they were asked for. */
export function current(all: Periods, period: Period, now: Summary | undefined): Counts {
  if (!now) return all[period]
  const sum = none()
  for (const k of keys) sum[k] = all[period][k] + now[k] - all.ever[k]
  return sum
}

/** midnight begins the reader's day that is days before the one of now. */
export function midnight(now: number, days = 0): Date {
  const d = new Date(now)
  return new Date(d.getFullYear(), d.getMonth(), d.getDate() - days)
}

export interface Span {
  from: number
  to: number
}

export interface Plan extends Span {
  step: 'minute' | 'hour' | 'day'
  /** next is the start of the bucket after the one that starts at t. */
  next(t: number): number
}

const minute = 60_000
const hour = 60 * minute
const dayLong = 24 * hour

function nextDay(days: number) {
  return (t: number) => {
    const d = new Date(t)
    return new Date(d.getFullYear(), d.getMonth(), d.getDate() + days).getTime()
  }
}

interface Size {
  step: Plan['step']
  length: number
  /** oldest is how far back the box has such figures, and how many it gives at once. */
  oldest: number
}

const ofMinutes = (n: number): Size => ({ step: 'minute', length: n * minute, oldest: 25 * hour })
const ofHours = (n: number): Size => ({ step: 'hour', length: n * hour, oldest: 32 * dayLong })
const ofDays = (n: number): Size => ({ step: n > 1 ? 'day' : 'hour', length: n * dayLong, oldest: n > 1 ? Infinity : 32 * dayLong })
const sizes: Size[] = [
  ofMinutes(1),
  ofMinutes(5),
  ofMinutes(15),
  ofHours(1),
  ofHours(3),
  ofDays(1),
  { ...ofDays(1), step: 'day', oldest: Infinity },
  ofDays(7),
  ofDays(28),
]

/** many is how many bars a chart has room for. */
const many = 100

/** planOf divides a span of time into bars, as fine as there is room and as the
 * box remembers. */
export function planOf({ from, to }: Span, now: number): Plan {
  const size = sizes.find((s) => (to - from) / s.length <= many && to - from <= s.oldest && now - from <= s.oldest) ?? sizes.at(-1)!
  if (size.length < dayLong) {
    const start = Math.floor(from / Math.min(size.length, hour)) * Math.min(size.length, hour)
    return { step: size.step, from: start, to, next: (t) => t + size.length }
  }
  return { step: size.step, from: midnight(from).getTime(), to, next: nextDay(size.length / dayLong) }
}

/** youngest is the shortest time that a chart shows of a box that began just now. */
const youngest = 30 * minute

/** plan divides a period that ends at now. Where the box has figures only of
 * its end, since first, that is what is shown. */
export function plan(period: Period, now: number, first: number): Plan {
  const to = nextDay(1)(now)
  const from = { day: midnight(now), week: midnight(now, 6), month: midnight(now, 29), ever: midnight(first) }[period].getTime()
  const young = now - first < 0.6 * (period === 'ever' ? 4 * dayLong : now - from)
  return planOf(young ? { from: Math.min(first, now - youngest), to: now } : { from, to }, now)
}

/** before is the time that a period is compared with: as long, and up to the
 * same time of day where figures are fine enough. */
export function before(period: Period, now: number): (Span & { step: Plan['step']; phrase: string }) | undefined {
  const ago = (days: number) => now - (midnight(now).getTime() - midnight(now, days).getTime())
  switch (period) {
    case 'day':
      return { step: 'hour', from: midnight(now, 1).getTime(), to: ago(1), phrase: 'yesterday by this time' }
    case 'week':
      return { step: 'hour', from: midnight(now, 13).getTime(), to: ago(7), phrase: 'the 7 days before' }
    case 'month':
      return { step: 'day', from: midnight(now, 59).getTime(), to: midnight(now, 29).getTime(), phrase: 'the 30 days before' }
    case 'ever':
      return undefined
  }
}

/** trend compares what was saved with what was saved before; undefined where that says nothing. */
export function trend(saved: number, before: number): { up: boolean; text: string } | undefined {
  if (before <= 0 || saved <= 0) return undefined
  const times = saved / before
  const percent = Math.round(100 * (times - 1))
  if (Math.abs(percent) < 2) return { up: times >= 1, text: 'about as much as' }
  if (times >= 3) return { up: true, text: `${times < 10 ? times.toFixed(1) : Math.round(times)} times as much as` }
  return { up: percent > 0, text: `${Math.abs(percent)}\u00a0% ${percent > 0 ? 'more' : 'less'} than` }
}

export interface Bucket extends Counts {
  start: number
}

/** buckets sums points into the buckets of p; those without a point are 0. */
export function buckets(p: Plan, points: Point[]): Bucket[] {
  const all: Bucket[] = []
  let i = 0
  const at = (n: number) => (points[n] ? Date.parse(points[n].start) : Infinity)
  // UTC days may begin before the reader's first one does.
  while (p.step !== 'day' && at(i) < p.from) i++
  for (let start = p.from; start < p.to; start = p.next(start)) {
    const b: Bucket = { start, ...none() }
    for (const end = p.next(start); at(i) < end; i++) {
      for (const k of keys) b[k] += points[i]![k]
    }
    all.push(b)
  }
  return all
}

export function total(all: Bucket[]): Counts {
  const sum = none()
  for (const b of all) for (const k of keys) sum[k] += b[k]
  return sum
}

/** barAt is the bar that stands at a time, in seconds: the last one that has begun. */
export function barAt(starts: ArrayLike<number>, at: number): number | null {
  for (let i = starts.length - 1; i >= 0; i--) if (starts[i]! <= at) return i
  return null
}
