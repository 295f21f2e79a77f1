import { expect, test } from 'vitest'
import type { FollowedSuite, Generation, KeptSlice, Ring } from './api.ts'
import { address, bare, components, duration, partsOf, place, reason, rule, snapshotLine, systems, within } from './archive.ts'

const now = Date.parse('2026-03-31T12:00:00Z')
const plain = (text: string) => text.replaceAll('\u00a0', ' ')

test('a suite of clients is followed for 14 days from their last use', () => {
  const s = { why: 'clients', used: '2026-03-01T12:00:00Z' } as FollowedSuite
  expect(reason(s)).toContain('until 2026-03-15')
  expect(reason({ ...s, why: 'setting' })).toBe('followed by MILLPOND_FOLLOW')
})

test.each([
  ['2026-03-31T12:10:00Z', 'in 10 min'],
  ['2026-03-31T12:00:01Z', 'now'],
  ['2026-03-30T12:00:00Z', 'now'],
])('%s is %s', (time, want) => {
  expect(plain(within(time, now))).toBe(want)
})

test('places on a timeline go from 30 days ago to now', () => {
  expect(place('2026-03-31T12:00:00Z', now)).toBe(98.5)
  expect(place('2026-03-16T12:00:00Z', now)).toBe(50)
  expect(place('2026-03-01T12:00:00Z', now)).toBe(1.5)
  expect(place('2026-03-01T11:00:00Z', now)).toBeUndefined()
  expect(place('2026-04-02T12:00:00Z', now), 'ahead of the clock').toBe(98.5)
})

test.each([
  ['http://a.example.org/debian/dists/bookworm', 'http://a.example.org/debian', 'bookworm', 'a.example.org/debian'],
  ['https://a.example.org/dists/stable/updates', 'https://a.example.org', 'stable/updates', 'https/a.example.org'],
  ['http://a.example.org:8080/flat', 'http://a.example.org:8080/flat', './', 'a.example.org:8080/flat'],
])('%s', (url, archive, suite, behind) => {
  expect(address(url)).toEqual({ archive, suite })
  expect(bare(archive)).toBe(behind)
})

test('components are read off the indices', () => {
  const of = (...paths: string[]) => components(paths.map((path) => ({ path, files: 1 })))
  expect(of('main/binary-amd64/Packages.xz', 'main/source/Sources.xz', 'non-free/extra/binary-all/Packages')).toEqual(['main', 'non-free/extra'])
  expect(of('Packages.gz')).toEqual([])
})

test('a line for a snapshot says when apt would refuse it for its age', () => {
  const g = { snapshot: '20260301T080000Z', valid_until: null } as Generation
  const s = { archive: 'http://a.example.org/debian', suite: 'bookworm', components: [] as string[] } as FollowedSuite
  expect(snapshotLine('box:3142', s, g, ['main', 'contrib'], now)).toBe(
    'deb http://box:3142/snapshot/20260301T080000Z/a.example.org/debian bookworm main contrib',
  )
  expect(snapshotLine('box:3142', s, { ...g, valid_until: '2026-03-08T08:00:00Z' }, [], now)).toBe(
    'deb [check-valid-until=no] http://box:3142/snapshot/20260301T080000Z/a.example.org/debian bookworm main',
  )
  expect(snapshotLine('box:3142', { ...s, components: ['main', 'non-free'] }, g, ['main'], now)).toBe(
    'deb http://box:3142/snapshot/20260301T080000Z/a.example.org/debian bookworm main non-free',
  )
  expect(snapshotLine('box:3142', { ...s, archive: 'https://a.example.org/flat', suite: 'lab/' }, g, [], now)).toBe(
    'deb http://box:3142/snapshot/20260301T080000Z/https/a.example.org/flat lab/',
  )
})

test.each([
  [259_200, '3 d'],
  [129_600, '1 d 12 h'],
  [90, '1 min 30 s'],
])('%d seconds are %s', (seconds, want) => {
  expect(plain(duration(seconds))).toBe(want)
})

test.each([
  [{}, 'Gets what this box has, at once.'],
  [{ after: 'canary', delay: 259_200 }, 'Gets what the ring canary has had for 3 d.'],
  [{ delay: 3600, security: true }, 'Gets what this box has had for 1 h; security suites at once.'],
])('%j', (more, want) => {
  expect(plain(rule({ after: '', delay: 0, security: false, ...more } as Ring))).toBe(want)
})

test('what was fetched ahead is used, wasted or open', () => {
  const cost = { files: 3, from_peers: 30, from_mirrors: 70, used_files: 1, used_bytes: 60, wasted_files: 1, wasted_bytes: 15 }
  expect(partsOf(cost)).toEqual({ fetched: 100, used: 60, wasted: 15, open: 25 })
  // A file that was half there before is used with all its bytes.
  expect(partsOf({ ...cost, used_bytes: 120 }).open).toBe(0)
})

test('kept suites stand together with what their system lacks, once', () => {
  const lack = { package: 'a 1 amd64', needs: 'b' }
  const slice = (suite: string, system: string) => ({ suite, system, lacks: [lack], lacks_more: 1 }) as KeptSlice
  const all = systems([slice('x', 'bookworm'), slice('y', 'trixie'), slice('z', 'bookworm')])
  expect(all.map((s) => [s.name, s.slices.map((k) => k.suite)])).toEqual([
    ['bookworm', ['x', 'z']],
    ['trixie', ['y']],
  ])
  expect(all[0]!.lacks).toEqual([lack])
  expect(all[0]!.more).toBe(2)
})
