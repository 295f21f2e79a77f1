// A box with made-up figures for `npm run dev` and for looking at single
// views. It answers what the page asks for, in the form of /api/v1.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Plugin } from 'vite'
import type { Counts, PageClientAccount, Point, Summary, Tick } from '../src/api.ts'
import { archiveOf } from './archive.ts'
import { asked, fixtures, meshed } from './fixtures.ts'
import { client } from './people.ts'

const started = Date.now()

// BOXES=50 npm run dev draws a swarm of so many.
const boxes = Number(process.env.BOXES ?? 0)

function counts(scale: number): Counts {
  const c = {
    requests: Math.round(scale / 400_000),
    client_bytes_from_store: scale * 0.71,
    client_bytes_from_peers: scale * 0.14,
    client_bytes_from_mirror: scale * 0.15,
    mirror_bytes: scale * 0.17,
    peer_bytes_in: scale * 0.14,
    peer_bytes_out: scale * 0.3,
    tunnel_bytes: scale * 0.02,
    mirror_requests: Math.round(scale / 3_100_000),
    revalidations_avoided: Math.round(scale / 1_700_000),
  }
  return { ...c, client_bytes: scale, saved_bytes: scale - c.mirror_bytes }
}

const ever = 1.84e12

function summary(now: number): Summary {
  return {
    ...counts(ever + ((now - started) / 1000) * 42e6),
    version: 'mock',
    since: '2026-01-08T09:00:00Z',
    blobs: 48_211,
    blob_bytes: 312e9,
    quota_bytes: 500e9,
    archives: 5,
    suites: 9,
    known_files: 412_330,
    downloads_running: 2,
    limit_bytes: 480e9,
    money: { per_gb: 0.09, currency: 'EUR', saved: 138 },
  }
}

function tick(): Tick {
  const now = Date.now()
  return { time: new Date(now).toISOString(), status: 'ok', faults: [], summary: summary(now), transfers: fixtures.transfers(now), last_event: 3 }
}

// A working day's load: little at night, a wave after the security update.
function load(t: number): number {
  const d = new Date(t)
  const h = d.getHours() + d.getMinutes() / 60
  const work = [0, 6].includes(d.getDay()) ? 0.12 : 1
  const noise = 0.6 + 0.8 * Math.abs(Math.sin(t / 7.3e6) * Math.cos(t / 3.1e6))
  return work * noise * (0.08 + Math.exp(-((h - 9.5) ** 2) / 3) + 0.5 * Math.exp(-((h - 15) ** 2) / 6))
}

function series(q: URLSearchParams): { points: Point[] } {
  const size = { minute: 60_000, hour: 3.6e6, day: 8.64e7 }[q.get('step') ?? 'hour'] ?? 3.6e6
  const from = Math.ceil(Date.parse(q.get('from')!) / size) * size
  const to = Math.min(Date.parse(q.get('to')!), Date.now())
  const points: Point[] = []
  for (let t = from; t < to; t += size) {
    const steps = size === 8.64e7 ? 24 : 1
    let scale = 0
    for (let i = 0; i < steps; i++) scale += load(t + i * 3.6e6) * (size === 60_000 ? 1.1e8 : 6.5e9)
    points.push({ start: new Date(t).toISOString(), ...counts(scale) })
  }
  return { points }
}

function one(address: string): unknown {
  const all = fixtures.static.clients as PageClientAccount
  const account = all.items.find((c) => c.name === address)
  return account && client(address, account)
}

function answer(path: string, q: URLSearchParams): unknown {
  switch (path) {
    case 'summary':
      return summary(Date.now())
    case 'periods':
    case 'site/periods':
      return { day: counts(14.2e9), week: counts(128e9), month: counts(512e9), ever: counts(ever) }
    case 'series':
    case 'site/series':
      return series(q)
    case 'swarm/graph':
      return boxes ? meshed(boxes) : fixtures.static[path]
    default:
      if (path.startsWith('clients/')) return one(decodeURIComponent(path.slice('clients/'.length)))
      if (path.startsWith('packages/')) return asked(decodeURIComponent(path.slice('packages/'.length)))
      return fixtures.static[path] ?? archiveOf(path, q)
  }
}

function serve(req: IncomingMessage, res: ServerResponse, next: () => void) {
  const url = new URL(req.url ?? '/', 'http://box')
  if (!url.pathname.startsWith('/api/v1/')) return next()
  const path = url.pathname.slice('/api/v1/'.length)
  if (path === 'events' && req.headers.accept?.includes('text/event-stream')) {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' })
    const send = () => res.write(`event: tick\ndata: ${JSON.stringify(tick())}\n\n`)
    send()
    const timer = setInterval(send, 1000)
    req.on('close', () => clearInterval(timer))
    return
  }
  const body = answer(path, url.searchParams)
  if (body === undefined) {
    res.writeHead(404).end('no such thing')
    return
  }
  res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
}

export function mock(): Plugin {
  return { name: 'mock-box', configureServer: (server) => void server.middlewares.use(serve) }
}
