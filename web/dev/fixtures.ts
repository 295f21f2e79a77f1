import type { Blob, Package, Transfer } from '../src/api.ts'
import { archive } from './archive.ts'
import { people } from './people.ts'
import { site } from './site.ts'

const now = Date.now()
const before = (seconds: number) => new Date(now - seconds * 1000).toISOString()

const page = <T>(items: T[]) => ({ total: items.length, offset: 0, items })

const archiveKey = '05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0'

function suite(host: string, name: string, state: string, more: object = {}) {
  return {
    url: `http://${host}/dists/${name}`,
    also: [],
    name,
    origin: 'Example',
    codename: name,
    state,
    reason: '',
    signed: true,
    signer: archiveKey,
    unsigned_why: '',
    shared: 'all',
    shared_why: 'anybody can fetch it where it came from',
    missing_keys: [],
    keys_at: [],
    signed_by: [],
    date: before(20_000),
    valid_until: null,
    checked: before(44),
    learned: before(20_000),
    indices: [{ path: 'main/binary-amd64/Packages.xz', files: 63_440 }],
    ...more,
  }
}

const suites = [
  suite('deb.example.org/debian', 'trixie', 'fresh'),
  suite('deb.example.org/debian', 'trixie-updates', 'fresh'),
  suite('security.example.org/debian-security', 'trixie-security', 'fresh'),
  suite('mirror.example.net/ubuntu', 'noble', 'stale', { reason: 'stale since 09:12: the mirror does not answer', checked: before(4100) }),
  suite('download.example.com/linux', 'stable', 'unsigned', {
    signed: false,
    signer: '',
    unsigned_why: 'signature by key 8D81803C0EBFCD88 of 2026-11-20: no key in the keyring made this signature: put the archive’s key there',
    missing_keys: ['9DC858229FC7DD38854AE2D88D81803C0EBFCD88'],
    keys_at: ['hkps://keys.example.org'],
    signed_by: ['9DC858229FC7DD38854AE2D88D81803C0EBFCD88'],
  }),
]

const keys = [
  {
    fingerprint: archiveKey,
    users: ['Example Archive Automatic Signing Key <ftpmaster@example.org>'],
    files: ['/usr/share/keyrings/example-archive-keyring.gpg'],
    expires: '2031-01-21T00:00:00Z',
    revoked: false,
    suites: suites.filter((s) => s.signed).map((s) => s.url),
  },
  {
    fingerprint: 'A1BD8E9D78F7FE5C3E65D8AF8B48AD6246925553',
    users: ['Example Archive Automatic Signing Key (old) <ftpmaster@example.org>'],
    files: ['/etc/apt/keyrings/old.asc'],
    expires: '2025-04-01T00:00:00Z',
    revoked: false,
    suites: [],
  },
]

const clients = Array.from({ length: 37 }, (_, i) => {
  const scale = 9e9 / (1 + i * i * 0.2)
  return {
    given_name: i === 1 ? 'reception' : '',
    hostname: i % 3 ? '' : `desk-${i}.office.example.org`,
    name: i % 7 === 3 ? `fd00:1::${(i * 91).toString(16)}` : `10.1.2.${10 + i * 3}`,
    first: before(9e6),
    last: before(i * i * 100),
    last_update: i === 4 ? null : before(i * i * 3000 + 900),
    requests: 900 - i * 20,
    client_bytes: scale,
    client_bytes_from_store: scale * (0.9 - i * 0.015),
    client_bytes_from_peers: scale * 0.06,
    client_bytes_from_mirror: scale * (0.04 + i * 0.015),
    saved_bytes: scale,
    mirror_bytes: 0,
    peer_bytes_in: 0,
    peer_bytes_out: 0,
    tunnel_bytes: i % 5 ? 0 : 3.1e7,
    mirror_requests: 0,
    revalidations_avoided: 0,
  }
})

const hosts = ['deb.example.org', 'security.example.org', 'mirror.example.net', 'download.example.com', '10.9.8.7:8080', 'others'].map((name, i) => ({
  ...clients[i]!,
  hostname: '',
  given_name: '',
  name,
  mirror_bytes: 4e9 / (1 + i * i),
  mirror_requests: Math.round(90_000 / (1 + i * i)),
  revalidations_avoided: Math.round(312_000 / (1 + i * i)),
  answers: [
    { status: '200', requests: Math.round(61_000 / (1 + i * i)) },
    { status: '304', requests: Math.round(28_000 / (1 + i * i)) },
    ...(i === 2
      ? [
          { status: 'none', requests: 204 },
          { status: '206', requests: 31 },
          { status: '404', requests: 12 },
          { status: '503', requests: 2 },
          { status: 'other', requests: 1 },
        ]
      : []),
  ],
}))

const mirrors = [
  { url: 'http://deb.example.org/debian', down: '', first_byte_ms: 12.4, rate_bytes: 41e6, measured: before(3) },
  { url: 'http://mirror.example.net/debian', down: '', first_byte_ms: 48.1, rate_bytes: 9.2e6, measured: before(240) },
  {
    url: 'http://ftp.example.com/pub/debian',
    down: 'not asked again yet: dial tcp 192.0.2.9:80: connect: connection refused',
    first_byte_ms: 0,
    rate_bytes: 0,
    measured: before(7400),
  },
  { url: 'https://far.example.org/debian', down: '', first_byte_ms: 0, rate_bytes: 0, measured: null },
].map((m) => ({ archive: 'http://deb.example.org/debian', ...m }))

const settings = {
  admin: true,
  client_port: '3142',
  settings: [
    {
      name: 'MILLPOND_LISTEN',
      value: ':3142',
      default: ':3142',
      takes: 'host:port',
      help: 'where clients, dashboard, API and metrics are served',
      set: false,
    },
    {
      name: 'MILLPOND_CACHE_SIZE',
      value: '500GB',
      default: '50%',
      takes: 'bytes with unit (200GB, 1.5TiB) or percent of the disk',
      help: 'how much the box keeps; superseded files are evicted first, then those requested least',
      set: true,
    },
    { name: 'MILLPOND_ADMIN_TOKEN', value: 'hidden', default: '', takes: 'word', help: 'what admin actions ask for', set: true },
  ],
}

const swarm = {
  enabled: true,
  id: '12D3KooWExampleExampleExampleExampleExampleSelfAAAA',
  addrs: [],
  private: false,
  mode: 'server',
  reachability: 'private',
  neighbours: 5,
  routing_table: 5,
  records: 132_220,
  announced: 48_200,
  to_announce: 48_211,
  last_announce: before(300),
  banned: 0,
}

const peers = [0.4, 0.9, 3, 24, 130].map((rtt_ms, i) => ({
  id: `12D3KooWExampleExampleExampleExampleExamplePeer${'ABCDE'[i]}${i}x7`,
  given_name: ['cellar', 'lab', '', '', ''][i]!,
  addr: `/ip4/10.1.${i}.4/tcp/4001`,
  agent: 'millpond/1.0',
  path: i === 4 ? 'relayed' : 'direct',
  kind: i < 3 ? 'local' : 'stranger',
  nearby: i < 3,
  rtt_ms,
  taken_bytes: 4e10 / (i + 1),
  given_bytes: 6e10 / (5 - i),
  held: i < 3 ? 30_000 + i * 4000 : 0,
  score: 1 - i * 0.1,
  banned_until: '',
  last_fault: i === 3 ? 'stalled once' : '',
  connected_since: before(80_000 / (i + 1)),
}))

const slice = {
  surveyed: before(120),
  running: false,
  holdings: ['trixie', 'trixie-updates', 'trixie-security'].flatMap((s, i) =>
    ['amd64', 'arm64', 'all'].map((a, j) => ({
      archive: 'deb.example.org/debian',
      suite: s,
      component: 'main',
      architecture: a,
      files: 9000 / (i + 1) / (j + 1),
      bytes: 9e10 / (i + 1) / (j + 1),
      newest: before(4000),
      oldest: before(8e6),
    })),
  ),
}

const blobs: Blob[] = ['6.12.9-1', '6.12.6-1'].map((v, i) => ({
  digest: (i ? '4c' : '9f').repeat(32),
  name: `linux-image-amd64_${v}_amd64.deb`,
  package: 'linux-image-amd64',
  size: 98.4e6,
  url: `http://deb.example.org/debian/pool/main/l/linux/linux-image-amd64_${v}_amd64.deb`,
  from: i
    ? [{ origin: 'mirror', name: 'deb.example.org' }]
    : [
        { origin: 'peer', name: peers[0]!.id },
        { origin: 'mirror', name: 'deb.example.org' },
      ],
  suite: 'trixie',
  signed: true,
  pinned: i === 0,
  modified: before(2e6),
  used: before(4000 * (i + 1)),
}))

const named = [
  'linux-image-amd64',
  'firefox-esr',
  'libreoffice-core',
  'chromium',
  'linux-headers-amd64',
  'thunderbird',
  'llvm-19',
  'openjdk-21-jre-headless',
  'gcc-14',
  'libc6',
  'g++',
  'vim',
  'bash',
  'curl',
]
const packages = named.map((name, i) => ({
  ...clients[i]!,
  name,
  hostname: '',
  given_name: '',
  saved_bytes: clients[i]!.client_bytes - clients[i]!.client_bytes_from_mirror,
}))

/** asked is one of the packages, with what is held of it and the clients that asked. */
export function asked(name: string): Package | undefined {
  const p = packages.find((p) => p.name === name)
  return (
    p && {
      ...p,
      versions: blobs,
      clients: clients
        .slice(0, 8)
        .map((c) => ({ name: c.name, hostname: c.hostname, given_name: c.given_name, last: c.last, requests: 2, bytes: 196.8e6 })),
    }
  )
}

const self = { id: swarm.id, given_name: 'attic', self: true, connected: true, agent: 'millpond/1.0', nearby: false }
const nodes = [
  self,
  ...peers.map((p) => ({ id: p.id, given_name: p.given_name, self: false, connected: true, agent: p.agent, nearby: p.nearby })),
  { id: '12D3KooWExampleExampleExampleExampleExampleFarF6x7', given_name: '', self: false, connected: false, agent: '', nearby: false },
]
const graph = {
  nodes,
  asked: before(4),
  silent: [peers[4]!.id],
  links: [
    ...peers.map((p) => ({ a: self.id, b: p.id, path: p.path, rtt_ms: p.rtt_ms })),
    ...[
      [1, 2],
      [1, 3],
      [2, 3],
      [3, 4],
      [1, 5],
      [4, 6],
      [3, 6],
    ].map(([a, b]) => ({ a: nodes[a!]!.id, b: nodes[b!]!.id, path: b === 5 ? 'relayed' : 'direct', rtt_ms: 3 * a! })),
  ],
}

/** meshed is a swarm of n boxes, most of them connected. */
export function meshed(n: number) {
  const nodes = Array.from({ length: n }, (_, i) => ({
    id: `12D3KooWExample${(i * 7919 + 1e9).toString(36)}`,
    given_name: '',
    self: i === 0,
    connected: i % 9 !== 8,
    agent: '',
    nearby: i > 0 && i < n / 3,
  }))
  const links = nodes.flatMap((a, i) =>
    nodes
      .slice(i + 1)
      .filter((_, j) => (i * 31 + j * 17) % 10 < 4 || i === 0)
      .map((b, j) => ({ a: a.id, b: b.id, path: (i + j) % 11 === 3 ? 'relayed' : 'direct', rtt_ms: 1 + ((i * j) % 50) })),
  )
  return { nodes, links, asked: before(4), silent: [] }
}

export const fixtures = {
  transfers(t: number): Transfer[] {
    const have = ((t / 1000) % 40) / 40
    return [
      {
        digest: '9f'.repeat(32),
        url: 'http://deb.example.org/debian/pool/main/l/linux/linux-image-6.12.9-amd64_6.12.9-1_amd64.deb',
        size: 98.4e6,
        have: 98.4e6 * have,
        started: before(12),
        clients: 3,
        spans: [
          { from: 0, to: 30e6, origin: 'peer' },
          { from: 30e6, to: 98.4e6 * Math.max(0.31, have), origin: 'mirror' },
        ],
      },
    ]
  },
  static: {
    suites: page(suites),
    keys: page(keys),
    clients: page(clients),
    hosts: page(hosts),
    mirrors: { mirrors },
    packages: page(packages),
    ...archive,
    ...site,
    'swarm/graph': graph,
    settings,
    swarm,
    peers: { peers },
    slice,
    blobs: { items: blobs, next: '', scanned: 48_211 },
    ...people,
  } as Record<string, unknown>,
}
