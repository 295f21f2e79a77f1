// Made-up figures of all boxes of a site, of tunnels, and of what mirrors were spared.
import type { Counts, MirrorLoads, Site, SiteBoxes, SiteSuites, Tunnels } from '../src/api.ts'

const now = Date.now()
const day = 86_400
const before = (seconds: number) => new Date(now - seconds * 1000).toISOString()

function counts(scale: number, mirror = 0.17): Counts {
  const c = {
    requests: Math.round(scale / 400_000),
    client_bytes: scale,
    client_bytes_from_store: scale * (0.85 - mirror),
    client_bytes_from_peers: scale * 0.15,
    client_bytes_from_mirror: scale * mirror,
    mirror_bytes: scale * mirror,
    peer_bytes_in: scale * 0.15,
    peer_bytes_out: scale * 0.2,
    tunnel_bytes: 0,
    mirror_requests: Math.round(scale / 3_100_000),
    revalidations_avoided: Math.round(scale / 1_700_000),
  }
  return { ...c, saved_bytes: c.client_bytes - c.mirror_bytes }
}

const rates = (n: number) => ({
  client_bytes: n,
  client_bytes_from_store: n * 0.7,
  client_bytes_from_peers: n * 0.15,
  client_bytes_from_mirror: n * 0.15,
  mirror_bytes: n * 0.15,
  peer_bytes_in: n * 0.15,
  peer_bytes_out: 0,
})

const lab = { what: 'mirror mirror.example.net', why: 'it has not answered since 09:12: connection timed out', fatal: false, urgent: false }

const boxes = ['attic', 'cellar', 'lab', ''].map((given_name, i) => ({
  id: i ? `12D3KooWExampleExampleExampleExampleExamplePeer${'ABC'[i - 1]}${i - 1}x7` : '12D3KooWExampleExampleExampleExampleExampleSelfAAAA',
  given_name,
  self: i === 0,
  kind: i === 3 ? ('local' as const) : ('member' as const),
  unproved: i === 3,
  away: i === 1,
  seen: before(i === 1 ? 9000 : 4),
  version: 'mock',
  since: before((90 - i * 20) * day),
  ...counts(1.84e12 / (i + 1)),
  rates: rates(i === 1 ? 0 : 42e6 / (i + 1)),
  blobs: 48_000,
  blob_bytes: 312e9 / (i + 1),
  quota_bytes: 500e9,
  clients: 37 - i * 6,
  packages: 900,
  suites: 9,
  downloads_running: 1,
  status: i === 2 ? ('degraded' as const) : ('ok' as const),
  faults: i === 2 ? [lab] : [],
}))

const sum = (n: number): Site['all'] => ({
  boxes: n,
  boxes_away: 1,
  since: before(90 * day),
  ...counts(1.84e12 * (n === 4 ? 2.08 : 1.83)),
  rates: rates(66e6),
  blobs: 160_000,
  blob_bytes: 650e9,
  quota_bytes: n * 500e9,
  clients: 81,
  clients_exact: n < 4,
  packages: 2140,
  packages_exact: true,
  status: 'degraded',
  worst: { box: boxes[2]!.id, given_name: 'lab', ...lab },
  boxes_faulty: 1,
  downloads_running: 4,
})

const siteBoxes: SiteBoxes = { boxes }
const suites: SiteSuites = {
  suites: ['debian/dists/trixie', 'debian/dists/trixie-updates', 'ubuntu/dists/noble'].map((path, i) => ({
    url: 'http://deb.example.org/' + path,
    state: i === 2 ? ('stale' as const) : ('fresh' as const),
    worst_box: i === 2 ? boxes[2]!.id : '',
    checked: before(60 * (i + 1)),
    boxes: 4 - i,
    unproved: false,
  })),
}

const tunnels: Tunnels = {
  days: 30,
  bytes: 3.4e9,
  total: 3,
  offset: 0,
  items: ['download.vendor.example', 'packages.example.com:8443', 'others'].map((host, i) => ({
    host,
    bytes: 3.1e9 / 10 ** i,
    tunnels: 402 >> i,
    bytes_ever: 9e9 / 10 ** i,
    first: before(80 * day),
    last: before(700 * (i + 1)),
    by_day: [],
    clients: i === 2 ? [] : [{ name: '10.1.2.13', hostname: 'desk-3.office.example.org', given_name: 'reception', last: before(700), bytes: 2e9 }],
    source: i === 2 ? '' : `https://${host}/`,
    through_box: i === 2 ? '' : `/https/${host}/`,
    as_proxy: i === 2 ? '' : `http://HTTPS///${host}/`,
  })),
}

const load = (host: string, scale: number) => ({
  host,
  last: before(900),
  requests: 3000 * scale,
  bytes: 9e9 * scale,
  statuses: [
    { class: '2xx' as const, requests: 2100 * scale, bytes: 9e9 * scale },
    { class: '3xx' as const, requests: 880 * scale, bytes: 0 },
    { class: '4xx' as const, requests: 20 * scale, bytes: 9000 },
  ],
  answers: [],
  client_requests: 70_000 * scale,
  client_bytes: 130e9 * scale,
  revalidations_avoided: 40_000 * scale,
  spared_requests: 67_000 * scale,
  spared_bytes: 121e9 * scale,
  by_day: [],
})

const loads: MirrorLoads = {
  days: 30,
  sum: load('', 1.3),
  total: 2,
  offset: 0,
  items: [load('deb.example.org', 1), load('security.example.org', 0.3)],
}

export const site: Record<string, unknown> = {
  site: { proved: sum(3), all: sum(4) },
  'site/boxes': siteBoxes,
  'site/suites': suites,
  tunnels,
  'mirrors/load': loads,
}
