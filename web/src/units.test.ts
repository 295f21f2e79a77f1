import { expect, test } from 'vitest'
import { ago, amount, bytes, count, price, round, share, span, zone } from './units.ts'

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.00 kB'],
  [9994, '9.99 kB'],
  [9995, '10.0 kB'],
  [99_949, '99.9 kB'],
  [99_950, '100 kB'],
  [999_499, '999 kB'],
  [999_500, '1.00 MB'],
  [12_800_000_000, '12.8 GB'],
  [1.5e21, '1500 EB'],
  [-1500, '−1.50 kB'],
])('%d bytes are %s', (n, want) => {
  expect(bytes(n)).toBe(want.replace(' ', '\u00a0'))
})

test('an amount comes in two parts', () => {
  expect(amount(1.28e12)).toEqual({ number: '1.28', unit: 'TB' })
})

test.each([
  [0, '0 B'],
  [5e9, '5 GB'],
  [2.5e6, '2.5 MB'],
  [-2e9, '−2 GB'],
])('the round number %d is %s', (n, want) => {
  expect(round(n)).toBe(want.replace(' ', '\u00a0'))
})

test.each([
  [0, 0, ''],
  [1, 0, ''],
  [0, 100, '0 %'],
  [16.7e6, 135e9, '< 0.1 %'],
  [1, 1000, '0.1 %'],
  [7, 1000, '0.7 %'],
  [9.7, 1000, '1 %'],
  [-16.7e6, 135e9, '> −0.1 %'],
  [994, 1000, '99 %'],
  [999, 1000, '99.9 %'],
  [99_999, 100_000, '> 99.9 %'],
  [1200, 1000, '120 %'],
  [1000, 1000, '100 %'],
  [833, 1000, '83 %'],
  [-20, 100, '−20 %'],
])('%d of %d is %j', (part, whole, want) => {
  expect(share(part, whole)).toBe(want.replaceAll(' ', '\u00a0'))
})

test('counts have thin spaces', () => {
  expect(count(1234567)).toBe('1\u202f234\u202f567')
  expect(count(999)).toBe('999')
  expect(count(-1000)).toBe('−1\u202f000')
})

test('lengths of time are in their largest unit', () => {
  expect([0, 59, 60, 3599, 3600, 86_400 * 2].map(span)).toEqual(['0\u00a0s', '59\u00a0s', '1\u00a0min', '59\u00a0min', '1\u00a0h', '2\u00a0d'])
})

test('a time that never was is no time ago', () => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  expect(ago(null, now)).toBe('')
  expect(ago('0001-01-01T00:00:00Z', now)).toBe('')
  expect(ago('2026-03-01T11:59:58Z', now)).toBe('just now')
  expect(ago('2026-03-01T12:00:09Z', now)).toBe('just now') // the box's clock is ahead
  expect(ago('2026-03-01T11:00:00Z', now)).toBe('1\u00a0h ago')
})

test('the zone of times is named, with what it differs by', () => {
  const at = (minutes: number) => ({ getTimezoneOffset: () => -minutes }) as Date
  expect(zone(at(60), 'Europe/Berlin')).toBe('Europe/Berlin, UTC+01:00')
  expect(zone(at(-210), 'America/St_Johns')).toBe('America/St_Johns, UTC−03:30')
  expect(zone(at(0), 'UTC')).toBe('UTC')
  expect(zone(at(0), 'Europe/London')).toBe('Europe/London, UTC')
})

test('money has two decimals until it is a lot', () => {
  const eur = { per_gb: 0.09, currency: 'EUR' }
  expect(price(1e9, eur)).toBe('0.09\u00a0EUR')
  expect(price(-2e9, eur)).toBe('−0.18\u00a0EUR')
  expect(price(1.5e13, eur)).toBe('1\u202f350\u00a0EUR')
})
