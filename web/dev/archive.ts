// Made-up figures for the view Archive.
import type { FollowedSuite, Generation, Keep, Prefetch, PrefetchWave, Ring, RingChange, RingChanges, RingSuite } from '../src/api.ts'

const now = Date.now()
const day = 86_400
const before = (seconds: number) => new Date(now - seconds * 1000).toISOString()

const page = <T>(items: T[]) => ({ total: items.length, offset: 0, items })

const debian = 'http://deb.example.org/debian/dists/'
const trixie = debian + 'trixie'
const security = 'http://security.example.org/debian-security/dists/trixie-security'

function suite(url: string, more: Partial<FollowedSuite>): FollowedSuite {
  return {
    url,
    name: url.slice(url.lastIndexOf('/') + 1),
    archive: url.slice(0, url.indexOf('/dists/')),
    suite: url.slice(url.indexOf('/dists/') + '/dists/'.length),
    components: [],
    architectures: [],
    why: 'clients',
    depth: 'used',
    used: before(3000),
    checked: before(240),
    next: before(-660),
    date: before(20_000),
    indices_held: 12,
    indices_total: 12,
    fault: '',
    ...more,
  }
}

const follow = page([
  suite(trixie, {}),
  suite(debian + 'trixie-updates', {
    why: 'setting',
    components: ['main', 'contrib'],
    architectures: ['amd64'],
    depth: 'indices',
    used: null,
    date: before(9 * day),
  }),
  suite(security, {
    why: 'setting',
    components: ['main'],
    architectures: ['amd64', 'source'],
    depth: 'all',
    indices_held: 3,
    indices_total: 4,
    next: before(-20),
  }),
  suite('https://download.example.com/linux/dists/stable', {
    used: before(11 * day),
    fault: 'the mirror does not answer: dial tcp 192.0.2.9:443: connect: connection refused',
    checked: before(8000),
  }),
])

const generation = (ago: number, until: number | null): Generation => ({
  digest: ago.toString(16).padStart(8, '0').repeat(8),
  date: before(ago),
  valid_until: until === null ? null : before(until),
  learned: before(ago - 900),
  superseded: null,
  signed: true,
  login: false,
  snapshot: before(ago).replaceAll(/[-:]|\.\d+/g, ''),
})

function generations(of: string): Generation[] {
  const every = of === security ? 1.3 : of === trixie ? 4 : 9
  const all: Generation[] = []
  for (let ago = 0.23 * day; ago < 31 * day; ago += every * day) all.push(generation(ago, of === security ? ago - 7 * day : null))
  return all.map((g, i) => ({ ...g, superseded: i === 0 ? null : all[i - 1]!.learned }))
}

const rings: Ring[] = [
  {
    name: 'canary',
    after: '',
    delay: 0,
    security: false,
    clients: ['10.1.9.0/24'],
    setting: true,
    suites: 2,
    held: 0,
    bytes: 2.1e9,
    share: 31e9,
    full: false,
  },
  {
    name: 'prod',
    after: 'canary',
    delay: 3 * day,
    security: true,
    clients: ['10.1.0.0/16'],
    setting: true,
    suites: 2,
    held: 1,
    bytes: 9.4e9,
    share: 31e9,
    full: false,
  },
  { name: 'lab', after: 'prod', delay: day, security: false, clients: [], setting: false, suites: 0, held: 0, bytes: 31e9, share: 31e9, full: true },
]

const lane = (url: string, more: Partial<RingSuite>): RingSuite => ({
  suite: url,
  name: url.slice(url.lastIndexOf('/') + 1),
  present: generations(url)[0]!,
  since: before(19_000),
  held: false,
  security: url === security,
  due: null,
  expiry: '',
  ...more,
})

function lanes(ring: string): RingSuite[] {
  if (ring === 'canary') return [lane(trixie, {}), lane(security, {})]
  if (ring !== 'prod') return []
  const [latest, present, former] = generations(trixie) as [Generation, Generation, Generation]
  const held = generations(security)
  return [
    lane(trixie, { present, former, since: before(1.2 * day), next: latest, latest, due: before(-2.8 * day) }),
    lane(security, {
      present: held[4]!,
      former: held[5]!,
      latest: held[0]!,
      since: before(5 * day),
      held: true,
      expiry:
        'it is valid until 2026-12-01 08:00 UTC, and the ring is held: promote the ring, or set Acquire::Check-Valid-Until "false" for its clients\' apt before that',
    }),
  ]
}

const items: RingChange[] = [
  ['libssl3t64', '3.5.4-1~deb13u1', '3.5.4-1~deb13u2', true],
  ['linux-image-amd64', '6.12.57-1', '6.12.63-1', false],
  ['openssl', '3.5.4-1~deb13u1', '3.5.4-1~deb13u2', true],
  ['linux-image-6.12.63+deb13-amd64', '', '6.12.63-1', false],
  ['linux-image-6.12.43+deb13-amd64', '6.12.43-1', '', false],
].map(([name, old, next, fix]) => ({ package: name, architecture: 'amd64', old, new: next, security: fix }) as RingChange)

function changes(): RingChanges {
  const [to, from] = generations(trixie) as [Generation, Generation]
  return { from, to, added: 1, removed: 1, replaced: 3, security: 2, unread: false, total: items.length, offset: 0, items }
}

const cost = (files: number, bytes: number, peers: number, used: number, wasted: number) => ({
  files,
  from_peers: bytes * peers,
  from_mirrors: bytes * (1 - peers),
  used_files: Math.round(files * used),
  used_bytes: bytes * used,
  wasted_files: Math.round(files * wasted),
  wasted_bytes: bytes * wasted,
})

const wave = (id: number, ago: number, more: Partial<PrefetchWave>): PrefetchWave => ({
  id,
  automatic: true,
  suites: [trixie],
  started: before(ago),
  ended: before(ago - 100),
  files: 42,
  bytes: 1.4e9,
  files_failed: 0,
  no_room: 0,
  no_budget: 0,
  cost: cost(41, 1.38e9, 0.22, 0.88, 0.01),
  error: '',
  ...more,
})

const waves = [
  wave(9, 4000, { files_failed: 1 }),
  wave(8, 1.1 * day, { suites: [security], cost: cost(6, 2.1e8, 0.9, 0.97, 0) }),
  wave(7, 4.2 * day, { suites: [trixie, debian + 'trixie-updates'], cost: cost(88, 3.3e9, 0.4, 0.71, 0.02), no_budget: 12 }),
  wave(6, 5.4 * day, { automatic: false, cost: cost(12, 4e8, 0, 0.5, 0.1), no_room: 3 }),
  wave(5, 17 * day, { cost: cost(30, 9.1e8, 0.3, 0.83, 0.17), error: 'the mirror does not answer' }),
]

const last = waves[0]!
const prefetch: Prefetch = {
  running: false,
  automatic: true,
  suite: '',
  started: last.started,
  ended: last.ended!,
  files: 42,
  bytes: 1.4e9,
  files_done: 41,
  bytes_done: 1.38e9,
  files_failed: 1,
  no_room: 0,
  no_budget: 0,
  error: '',
  budget: { bytes: 10e9, saved: 12e9, spent: 1.38e9, ends: before(-82_400) },
  since: before(90 * day),
  total: cost(2140, 71e9, 0.34, 0.86, 0.05),
  waves,
}

const keep: Keep = {
  slices: [
    {
      suite: trixie,
      wanted: 'a1',
      wanted_date: before(20_000),
      files: 1804,
      bytes: 2.9e9,
      files_held: 1244,
      bytes_held: 1.8e9,
      state: 'fetching' as const,
    },
    {
      suite: security,
      wanted: 'b2',
      wanted_date: before(day),
      files: 211,
      bytes: 4.2e8,
      files_held: 211,
      bytes_held: 4.2e8,
      state: 'complete' as const,
    },
  ]
    .map((s, i) => ({
      ...s,
      system: 'trixie',
      complete_files: i === 0 ? 3050 : 211,
      complete_bytes: i === 0 ? 5.1e9 : 4.2e8,
      complete: i === 0 ? 'a0' : 'b2',
      complete_date: before((4 - 3 * i) * day),
      since: before((3.9 - 3 * i) * day),
      files_gone: 0,
      lacks: [
        { package: 'debconf 1.5.91 all', needs: 'cdebconf' },
        { package: 'gnuit 4.9.5 amd64', needs: 'libhistory5' },
      ],
      lacks_more: 0,
      fault: '',
    }))
    .concat([
      {
        suite: 'http://deb.example.org/debian/dists/bookworm',
        wanted: 'c3',
        wanted_date: before(70 * day),
        files: 90,
        bytes: 1.1e8,
        files_held: 88,
        bytes_held: 1.08e8,
        state: 'incomplete' as never,
        system: 'bookworm',
        complete_files: 90,
        complete_bytes: 1.1e8,
        complete: 'c3',
        complete_date: before(70 * day),
        since: before(40 * day),
        files_gone: 2,
        lacks: [],
        lacks_more: 0,
        fault: '',
      },
    ]),
}

export const archive: Record<string, unknown> = { follow, rings: { rings }, prefetch, keep }

/** archiveOf answers what is asked about one suite or ring; undefined for anything else. */
export function archiveOf(path: string, q: URLSearchParams): unknown {
  if (path === 'generations') return page(generations(q.get('suite') ?? ''))
  const [, ring, what] = /^rings\/([^/]+)\/(suites|changes)$/.exec(path) ?? []
  if (what === 'suites') return page(lanes(ring!))
  return what && changes()
}
