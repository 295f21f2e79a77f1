import { expect, test } from 'vitest'
import { Refusal, type Summary, type Tick } from './api.ts'
import { health } from './health.ts'
import { advance, kept, type Live, refusal } from './live.ts'
import { none } from './series.ts'

const tick = (second: number, clientBytes: number, more: Partial<Tick> = {}): Tick => ({
  time: new Date(1_000_000 + second * 1000).toISOString(),
  status: 'ok',
  faults: [],
  summary: { ...none(), client_bytes: clientBytes } as unknown as Summary,
  transfers: [],
  last_event: 0,
  ...more,
})

const start: Live = { tick: undefined, connected: false, rates: [] }

test('rates are differences by time', () => {
  let live = advance(start, tick(0, 1000))
  expect(live.rates).toEqual([])
  live = advance(live, tick(2, 5000))
  expect(live.rates).toEqual([{ clients: 2000, mirror: 0, peers: 0 }])
  expect(live.connected).toBe(true)
})

test('neither a gap nor a box begun anew makes a rate', () => {
  const live = advance(advance(start, tick(0, 1000)), tick(1, 2000))
  expect(advance(live, tick(100, 9e9)).rates).toEqual([])
  expect(advance(live, tick(2, 0)).rates.at(-1)!.clients).toBe(0)
})

test('the page remembers a minute', () => {
  let live = start
  for (let i = 0; i < 3 * kept; i++) live = advance(live, tick(i, i))
  expect(live.rates.length).toBe(kept)
})

test('health in a word', () => {
  const fault = (fatal: boolean, urgent = false) => ({ what: 'disk', why: 'is full', fatal, urgent })
  const of = (more: Partial<Tick>) => health(advance(start, tick(0, 0, more)))
  expect(of({}).word).toBe('Healthy')
  expect(of({ status: 'degraded', faults: [fault(false), fault(false)] })).toMatchObject({ word: 'Degraded', reason: 'Disk: is full', more: 1 })
  expect(of({ status: 'unavailable', faults: [fault(false), { ...fault(true), what: 'store' }] })).toMatchObject({
    word: 'Down',
    reason: 'Store: is full',
  })
  expect(of({ status: 'degraded', faults: [{ ...fault(false), what: 'mirror' }, fault(false, true)] })).toMatchObject({
    word: 'Degraded',
    tone: 'bad',
    reason: 'Disk: is full',
  })
  expect(health({ ...start, connected: true }).word).toBe('Asking')
  expect(health(start).word).toBe('Unreachable')
})

test('a refusal is shown, and forgotten with the next tick; a box that is away is asked again', () => {
  expect(refusal(new Refusal(421, 'not under this name'))).toBe('not under this name')
  expect(refusal(new Refusal(401, 'a token'))).toBe('a token')
  expect(refusal(new Refusal(503, 'starting'))).toBe('')
  expect(refusal(new TypeError('Failed to fetch'))).toBe('')
  expect(advance({ ...start, refused: 'not under this name' }, tick(0, 0)).refused).toBeUndefined()
})
