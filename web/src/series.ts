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

export interface Plan {
  step: 'minute' | 'hour' | 'day'
  from: number
  to: number
  /** next is the start of the bucket after the one that starts at t. */
  next(t: number): number
}

const minute = 60_000
const hour = 60 * minute

function nextDay(days: number) {
  return (t: number) => {
    const d = new Date(t)
    return new Date(d.getFullYear(), d.getMonth(), d.getDate() + days).getTime()
  }
}

/** plan chooses some 24 to 200 buckets for a period that ends at now. */
export function plan(period: Period, now: number, since: number): Plan {
  switch (period) {
    case 'day':
      return { step: 'minute', from: midnight(now).getTime(), to: nextDay(1)(now), next: (t) => t + 15 * minute }
    case 'week':
      return { step: 'hour', from: midnight(now, 6).getTime(), to: nextDay(1)(now), next: (t) => t + 3 * hour }
    case 'month':
      return { step: 'hour', from: midnight(now, 29).getTime(), to: nextDay(1)(now), next: nextDay(1) }
    case 'ever': {
      // At least four weeks, so that a young box has a chart and not a wall.
      const from = Math.min(midnight(since).getTime(), midnight(now, 27).getTime())
      const days = (now - from) / (24 * hour)
      const size = days > 1400 ? 28 : days > 180 ? 7 : 1
      return { step: 'day', from, to: nextDay(1)(now), next: nextDay(size) }
    }
  }
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
