import { expect, test } from 'vitest'
import type { Periods, Point, Summary } from './api.ts'
import { buckets, current, none, periods, plan, total } from './series.ts'

const now = new Date(2026, 2, 15, 14, 37).getTime()
const since = new Date(2025, 0, 5).getTime()

const point = (t: number, store: number): Point => ({
  ...none(),
  start: new Date(t).toISOString(),
  client_bytes_from_store: store,
  client_bytes: store,
  saved_bytes: store,
})

test.each(periods.map((p) => p.id))('the plan of %s covers now with not too many buckets', (period) => {
  const p = plan(period, now, since)
  const all = buckets(p, [])
  expect(all.length).toBeGreaterThan(20)
  expect(all.length).toBeLessThan(250)
  expect(all[0]!.start).toBe(p.from)
  expect(all.at(-1)!.start).toBeLessThan(p.to)
  expect(p.to).toBeGreaterThan(now)
})

test('days are the reader’s own, also where a clock is put forward', () => {
  for (const b of buckets(plan('month', new Date(2026, 3, 10, 9).getTime(), since), [])) {
    expect(new Date(b.start).getHours()).toBe(0)
  }
})

test('every point is in one bucket', () => {
  for (const { id } of periods) {
    const p = plan(id, now, since)
    const step = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }[p.step]
    const points: Point[] = []
    for (let t = Math.ceil(p.from / step) * step; t < now; t += step) points.push(point(t, 1))
    const sum = total(buckets(p, points))
    expect(sum.client_bytes_from_store).toBe(points.length)
    expect(sum.saved_bytes).toBe(points.length)
  }
})

test('points before the period are left out, but the UTC day that it begins in', () => {
  const week = plan('week', now, since)
  expect(total(buckets(week, [point(week.from - 3_600_000, 5)])).client_bytes).toBe(0)
  const ever = plan('ever', now, since)
  expect(total(buckets(ever, [point(ever.from - 3_600_000, 5)])).client_bytes).toBe(5)
})

test('a period moves on with the totals', () => {
  const counts = (n: number) => ({ ...none(), client_bytes: n })
  const all: Periods = { day: counts(5), week: counts(50), month: counts(500), ever: counts(5000) }
  expect(current(all, 'day', undefined).client_bytes).toBe(5)
  const summary = counts(5007) as unknown as Summary
  expect(current(all, 'day', summary).client_bytes).toBe(12)
  expect(current(all, 'ever', summary).client_bytes).toBe(5007)
})
