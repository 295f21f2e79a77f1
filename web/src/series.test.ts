import { expect, test } from 'vitest'
import type { Periods, Point, Summary } from './api.ts'
import { barAt, before, buckets, current, none, periods, plan, planOf, total, trend } from './series.ts'

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

test('a young box has bars as fine as its data', () => {
  const hour = 3_600_000
  const length = (p: ReturnType<typeof plan>) => p.next(p.from) - p.from
  for (const { id } of periods) {
    const young = plan(id, now, now - 50 * 60_000)
    expect([young.step, length(young)], id).toEqual(['minute', 60_000])
    expect(buckets(young, []).length).toBeLessThan(60)
    expect(young.to).toBe(now)
  }
  // Two days of a week are shown by the hour, and days are so as soon as most of it is there.
  expect(length(plan('week', now, now - 48 * hour))).toBe(hour)
  expect(length(plan('week', now, now - 150 * hour))).toBe(3 * hour)
  // One that began just now has half an hour, which is nearly empty, rather than nothing.
  expect(now - plan('ever', now, now).from).toBe(30 * 60_000)
})

test('what was long ago is as fine as the box remembers', () => {
  const day = 86_400_000
  const spanOf = (ago: number, length: number) => planOf({ from: now - ago, to: now - ago + length }, now)
  expect(spanOf(day / 2, day / 24).step).toBe('minute')
  expect(spanOf(3 * day, day / 24).step).toBe('hour')
  expect(spanOf(90 * day, 2 * day).step).toBe('day')
  expect(buckets(spanOf(400 * day, 399 * day), []).length).toBeLessThan(101)
})

test('a period is compared with as much of the one before', () => {
  const at = (t: number) => new Date(t).toString().slice(0, 21)
  const day = before('day', now)!
  expect([at(day.from), at(day.to)]).toEqual([at(new Date(2026, 2, 14).getTime()), at(new Date(2026, 2, 14, 14, 37).getTime())])
  const week = before('week', now)!
  expect([at(week.from), at(week.to)]).toEqual([at(new Date(2026, 2, 2).getTime()), at(new Date(2026, 2, 8, 14, 37).getTime())])
  expect(before('ever', now)).toBeUndefined()
})

test.each([
  [110, 100, '10\u00a0% more than'],
  [90, 100, '10\u00a0% less than'],
  [101, 100, 'about as much as'],
  [350, 100, '3.5 times as much as'],
  [5, 0, ''],
  [-5, 100, ''],
])('%d after %d is %j', (saved, earlier, want) => {
  expect(trend(saved, earlier)?.text ?? '').toBe(want)
})

test('the bar at a time is the last one that has begun', () => {
  const starts = [100, 200, 300]
  expect([99, 100, 199, 200, 299, 300, 399].map((at) => barAt(starts, at))).toEqual([null, 0, 0, 1, 1, 2, 2])
  expect(barAt([], 100)).toBe(null)
})
