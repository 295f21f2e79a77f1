// Made-up figures of one client, events, and how the box is reached.
import type { ClientDetail, Event, EventList, Overview, Setup } from '../src/api.ts'

const now = Date.now()
const day = 86_400
const before = (seconds: number) => new Date(now - seconds * 1000).toISOString()

const happened = (id: number, ago: number, more: Partial<Event>) =>
  ({
    id,
    kind: 'fault',
    level: 'warn',
    first: before(ago * 3),
    time: before(ago),
    times: 1,
    what: '',
    cause: '',
    setting: '',
    client: '',
    clients: [],
    url: '',
    host: '',
    suite: '',
    ...more,
  }) as Event

const asked = (address: string, url: string) => [{ address, url, time: before(600) }]

const events: EventList = {
  next: 0,
  events: [
    happened(5, 300, { kind: 'audit', level: 'info', what: 'admin action: blob evicted', cause: 'asked for from 10.1.2.5' }),
    happened(4, 600, {
      kind: 'refusal',
      level: 'info',
      times: 12,
      what: 'request of 10.1.2.40 refused',
      cause: '10.9.0.4 is a private address',
      setting: 'MILLPOND_ALLOW_UPSTREAMS=10.9.0.4',
      clients: asked('10.1.2.40', 'http://10.9.0.4/debian/dists/stable/InRelease'),
      url: 'http://10.9.0.4/debian/dists/stable/InRelease',
      host: '10.9.0.4',
    }),
    happened(3, 4100, { times: 3, what: 'mirror.example.net does not answer', cause: 'connection timed out', host: 'mirror.example.net' }),
    happened(2, 5000, {
      kind: 'mirror',
      level: 'info',
      times: 2,
      what: 'deb.example.org has no pool/main/v/vim/vim_9.0-1_amd64.deb',
      cause: 'the mirror answered 404 Not Found: the file has been superseded',
      clients: asked('10.1.2.13', ''),
      url: 'http://deb.example.org/debian/pool/main/v/vim/vim_9.0-1_amd64.deb',
      host: 'deb.example.org',
      status: 404,
    }),
    happened(1, 9100, {
      level: 'error',
      what: 'wrong bytes from mirror.example.net for bash_5.2_amd64.deb',
      cause: 'fetched elsewhere',
      host: 'mirror.example.net',
    }),
  ],
}

const overview: Overview = {
  phase: 'saving',
  clients: { ever: 37, day: 31 },
  disk: { used: 312e9, limit: 500e9, effective: 480e9, free: 200e9, total: 1e12 },
  last_hour: { since: before(3600), requests: 9120, failed: 0, refused: 12, missing: 2, unkept: 0 },
}

const setup: Setup = {
  reached: '127.0.0.1:3142',
  local: true,
  addresses: [
    { address: 'box.office.example.org:3142', kind: 'hostname', via: '', script: 'http://box.office.example.org:3142/setup.sh' },
    { address: '10.1.2.3:3142', kind: 'interface', via: 'eth0', script: 'http://10.1.2.3:3142/setup.sh' },
    { address: '[fd00:1::3]:3142', kind: 'interface', via: 'eth0', script: 'http://[fd00:1::3]:3142/setup.sh' },
    { address: '127.0.0.1:3142', kind: 'request', via: '', script: 'http://127.0.0.1:3142/setup.sh' },
  ],
}

/** client is one of them, with all that is known of it. */
export function client(name: string, account: object): ClientDetail {
  return {
    ...(account as ClientDetail),
    name,
    since: before(40 * day),
    suites: ['debian/dists/trixie', 'debian/dists/trixie-updates'].map((path, i) => ({
      url: 'http://deb.example.org/' + path,
      name: path.split('/').pop()!,
      ring: i ? 'prod' : '',
      updated: before(900),
      generation: 'ab'.repeat(32),
      date: before((i + 1) * day),
      behind: i === 1,
      in_force: before(20_000),
    })),
    failures: [
      {
        status: 403,
        cause: '10.9.0.4 is a private address (MILLPOND_ALLOW_UPSTREAMS)',
        url: 'http://10.9.0.4/debian/dists/stable/InRelease',
        first: before(9 * day),
        last: before(600),
        times: 12,
      },
      {
        status: 404,
        cause: 'the mirror has no such file',
        url: 'http://deb.example.org/debian/pool/main/v/vim/vim_9.0-1_amd64.deb',
        first: before(5000),
        last: before(5000),
        times: 1,
      },
    ],
    pending: ['curl', 'libssl3t64', 'openssl'].map((p) => ({
      name: p,
      architecture: 'amd64',
      has: '3.5.4-1~deb13u1',
      version: '3.5.4-1~deb13u2',
      suite: 'http://security.example.org/debian-security/dists/trixie-security',
    })),
    pending_total: 3,
    packages: ['linux-image-amd64', 'firefox-esr', 'g++'].map((p, i) => ({
      name: p,
      architecture: 'amd64',
      version: '6.12.63-1',
      last: before(4000 * (i + 1)),
      requests: 3,
      bytes: 98e6 / (i + 1),
    })),
    package_total: 412,
  }
}

export const people: Record<string, unknown> = { events, overview, jobs: { jobs: [] }, setup, 'admin/check': {} }
