// The answers of /api/v1, as /api/v1/openapi.json describes them.

/** Counts are body bytes, and requests. */
export interface Counts {
  requests: number
  saved_bytes: number
  client_bytes: number
  client_bytes_from_store: number
  client_bytes_from_peers: number
  client_bytes_from_mirror: number
  mirror_bytes: number
  peer_bytes_in: number
  peer_bytes_out: number
  tunnel_bytes: number
}

export interface Summary extends Counts {
  version: string
  since: string
  blobs: number
  blob_bytes: number
  quota_bytes: number
  archives: number
  suites: number
  known_files: number
  downloads_running: number
}

export interface Fault {
  what: string
  why: string
  fatal: boolean
}

export interface Transfer {
  digest: string
  url: string
  size: number
  have: number
  started: string
  clients: number
  spans: { from: number; to: number; origin: Origin }[]
}

export type Origin = 'store' | 'peer' | 'mirror'

/** Tick is what the stream sends every second. */
export interface Tick {
  time: string
  status: 'ok' | 'degraded' | 'unavailable'
  faults: Fault[]
  summary: Summary
  transfers: Transfer[]
  last_event: number
}

export interface Periods {
  day: Counts
  week: Counts
  month: Counts
  ever: Counts
}

export interface Point extends Counts {
  start: string
}

export interface Suite {
  url: string
  name: string
  origin: string
  codename: string
  state: 'fresh' | 'stale' | 'expired' | 'unchecked'
  reason: string
  signed: boolean
  unsigned_why: string
  date: string
  valid_until: string | null
  checked: string | null
  learned: string
  indices: { path: string; files: number }[]
}

export interface Account extends Counts {
  name: string
  /** hostname is a client's, by its address; '' if not known. */
  hostname: string
  first: string
  last: string
}

export interface Page<T> {
  total: number
  offset: number
  items: T[]
}

export interface BoxEvent {
  id: number
  time: string
  level: 'warn' | 'error' | 'info'
  message: string
  cause: string
  setting: string
  client: string
  url: string
  times: number
}

export interface Setting {
  name: string
  value: string
  default: string
  takes: string
  help: string
  set: boolean
}

export interface Settings {
  admin: boolean
  client_port: string
  settings: Setting[]
}

export interface Holding {
  archive: string
  suite: string
  component: string
  architecture: string
  files: number
  bytes: number
  newest: string
  oldest: string
}

export interface Slice {
  surveyed: string
  running: boolean
  holdings: Holding[]
}

/** Source is who sent a file that is held: a mirror's host or a peer's ID. */
export interface Source {
  origin: 'mirror' | 'peer'
  name: string
}

export interface Blob {
  digest: string
  name: string
  size: number
  from: Source[]
  url: string
  suite: string
  signed: boolean
  pinned: boolean
  modified: string
  used: string
}

export interface PackageClient {
  name: string
  hostname: string
  last: string
  requests: number
  bytes: number
}

export interface Package extends Account {
  clients: PackageClient[]
  versions: Blob[]
}

export interface Prefetch {
  running: boolean
  /** suite is the URL of the only one; '' for all. */
  suite: string
  started: string
  ended?: string
  files: number
  bytes: number
  files_done: number
  bytes_done: number
  files_failed: number
  /** no_room is how many files were left out so that nothing is evicted. */
  no_room: number
  error: string
}

export interface Found {
  items: Blob[]
  next: string
  scanned: number
}

export interface Swarm {
  enabled: boolean
  id?: string
  addrs?: string[]
  private: boolean
  mode?: string
  reachability?: string
  neighbours: number
  routing_table: number
  records: number
  announced: number
  to_announce: number
  last_announce?: string
  banned: number
}

export interface Peer {
  id: string
  addr: string
  agent: string
  path: string
  nearby: boolean
  rtt_ms: number
  taken_bytes: number
  given_bytes: number
  held: number
  score: number
  banned_until?: string
  last_fault?: string
  connected_since: string
}

export interface Graph {
  nodes: GraphNode[]
  links: GraphLink[]
  /** asked is when the oldest answer in it was given. */
  asked: string
  /** silent are connected boxes that did not tell their links. */
  silent: string[]
  /** cut tells that there were more than were listed. */
  cut?: boolean
}

export interface GraphNode {
  id: string
  self: boolean
  /** connected is with this box; others are known by their word. */
  connected: boolean
  agent: string
  nearby: boolean
}

export interface GraphLink {
  a: string
  b: string
  path: 'direct' | 'relayed'
  rtt_ms: number
}

/** Refusal is an answer other than 2xx, with the box's own words. */
export class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const answer = await fetch('/api/v1/' + path, init)
  if (!answer.ok) {
    const text = (await answer.text()).trim()
    throw new Refusal(answer.status, text || `${answer.status} ${answer.statusText}`)
  }
  return answer
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await ask(path, signal ? { signal } : {})
  return (await answer.json()) as T
}

// The token lives in this variable alone: a reload forgets it.
let token = ''

export const admin = {
  use(t: string) {
    token = t
  },
  get known() {
    return token !== ''
  },
}

/** part makes a part of a path; a plus sign, as in g++, stands for itself there. */
export function part(name: string): string {
  return encodeURIComponent(name).replaceAll('%2B', '+')
}

/** change asks for an admin action. */
export async function change(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<void> {
  const headers: Record<string, string> = { Authorization: 'Bearer ' + token }
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  await ask(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
}
