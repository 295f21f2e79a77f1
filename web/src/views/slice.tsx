import { useEffect, useState } from 'preact/hooks'
import { admin, change, get, type Blob, type Found, type Holding, type Page, type Settings, type Slice, type Suite } from '../api.ts'
import { useAsk, useNow, useSettled } from '../ask.ts'
import type { Live } from '../live.ts'
import { Empty, Heading, Meter, Search, Table, Trouble, type Column } from '../parts.tsx'
import { ago, bytes, count, day, moment, share } from '../units.ts'

export function SliceView({ live }: { live: Live }) {
  const s = live.tick?.summary
  return (
    <>
      <Heading title="Slice">The part of the archives that this box holds. What nobody asked for the longest goes first when room is needed.</Heading>
      <dl class="facts">
        <div>
          <dt>Held</dt>
          <dd>
            {s ? bytes(s.blob_bytes) : '–'}
            <small>{s && `${share(s.blob_bytes, s.quota_bytes) || '0 %'} of ${bytes(s.quota_bytes)} (MILLPOND_CACHE_SIZE)`}</small>
            <Meter value={s?.blob_bytes ?? 0} of={s?.quota_bytes ?? 0} label="Held, of what may be held" />
          </dd>
        </div>
        <div>
          <dt>Files</dt>
          <dd>
            {s ? count(s.blobs) : '–'}
            <small>{s && `${count(s.known_files)} are listed by the indices`}</small>
          </dd>
        </div>
        <div>
          <dt>Archives and suites</dt>
          <dd>{s ? `${s.archives} and ${s.suites}` : '–'}</dd>
        </div>
      </dl>
      <Finder />
      <Holdings />
      <Suites />
    </>
  )
}

function Holdings() {
  const [every, setEvery] = useState(600)
  const ask = useAsk<Slice>('slice', every)
  const running = ask.data?.running
  // A survey of a full store takes some seconds.
  useEffect(() => setEvery(running ? 2 : 600), [running])
  const now = useNow(30)
  const rows = ask.data?.holdings ?? []
  return (
    <section aria-labelledby="holdings">
      <h2 id="holdings">By archive, component and architecture</h2>
      <p class="quiet small">
        {running ? 'Counting what is held …' : ask.data ? `Counted ${ago(ask.data.surveyed, now) || 'never'}. Suites share packages, so that a suite stands only beside its indices.` : '\u00a0'}
      </p>
      <Trouble error={ask.error} />
      {ask.data && !running && rows.length === 0 ? (
        <Empty title="The store is empty.">
          Files are kept as clients ask for them. <a href="#/setup">Set up a client</a>
        </Empty>
      ) : (
        <Table label="Holdings" columns={holdingColumns} rows={rows} name={(h) => [h.archive, h.suite, h.component, h.architecture].join(' ')} />
      )}
    </section>
  )
}

const holdingColumns: Column<Holding>[] = [
  { id: 'archive', name: 'Archive', cell: (h) => h.archive || <span class="quiet">not listed by any index</span> },
  { id: 'suite', name: 'Suite', cell: (h) => h.suite || (h.archive ? 'shared' : '–') },
  { id: 'component', name: 'Component', cell: (h) => h.component || '–' },
  { id: 'architecture', name: 'Architecture', cell: (h) => h.architecture || '–' },
  { id: 'files', name: 'Files', number: true, cell: (h) => count(h.files) },
  { id: 'bytes', name: 'Size', number: true, cell: (h) => bytes(h.bytes) },
  { id: 'oldest', name: 'Oldest', number: true, cell: (h) => day(h.oldest) },
  { id: 'newest', name: 'Newest', number: true, cell: (h) => day(h.newest) },
]

function Suites() {
  const ask = useAsk<Page<Suite>>('suites?limit=200', 30)
  const now = useNow(10)
  if (!ask.data || ask.data.items.length === 0) return null
  const columns: Column<Suite>[] = [
    {
      id: 'suite',
      name: 'Suite',
      cell: (s) => (
        <>
          {s.name}
          <small>{s.url}</small>
        </>
      ),
    },
    { id: 'state', name: 'State', cell: (s) => <span title={s.reason}>{s.state}</span> },
    { id: 'signed', name: 'Signed', cell: (s) => (s.signed ? 'yes' : `no: ${s.unsigned_why}`) },
    { id: 'date', name: 'Published', number: true, cell: (s) => moment(s.date) },
    { id: 'checked', name: 'Checked', number: true, cell: (s) => ago(s.checked, now) || '–' },
    { id: 'listed', name: 'Files listed', number: true, cell: (s) => count(s.indices.reduce((n, i) => n + i.files, 0)) },
  ]
  return (
    <section aria-labelledby="suites">
      <h2 id="suites">Suites that clients use</h2>
      <Table label="Suites" columns={columns} rows={ask.data.items} name={(s) => s.url} />
    </section>
  )
}

/** wanted is how many hits a search collects before it waits to be told to go on. */
const wanted = 50

interface Hits {
  items: Blob[]
  next: string
  scanned: number
  busy: boolean
  error?: Error
}

const nothing: Hits = { items: [], next: '', scanned: 0, busy: false }

/** look goes through the store a stretch per request, until there are enough hits. */
async function look(q: string, from: Hits, signal: AbortSignal, show: (h: Hits) => void) {
  let hits: Hits = { ...from, busy: true }
  const goal = from.items.length + wanted
  try {
    do {
      const f = await get<Found>(`blobs?limit=${wanted}&q=${encodeURIComponent(q)}&after=${hits.next}`, signal)
      hits = { items: [...hits.items, ...f.items], next: f.next, scanned: hits.scanned + f.scanned, busy: f.next !== '' }
      show(hits)
    } while (hits.next && hits.items.length < goal)
    show({ ...hits, busy: false })
  } catch (error) {
    if (!signal.aborted) show({ ...hits, busy: false, error: error as Error })
  }
}

function Finder() {
  const [query, setQuery] = useState('')
  const [hits, show] = useState(nothing)
  const [turn, setTurn] = useState(0)
  const q = useSettled(query.trim(), 250)
  const search = (from: Hits) => {
    const stop = new AbortController()
    void look(q, from, stop.signal, show)
    return () => stop.abort()
  }
  useEffect(() => {
    show(nothing)
    return q.length < 2 ? undefined : search(nothing)
  }, [q, turn])
  return (
    <section class="finder" aria-labelledby="finder">
      <h2 id="finder">Find a package</h2>
      <div class="tools">
        <Search label="Part of the file’s name or digest, two letters or more" value={query} onInput={setQuery} />
        <span class="quiet" aria-live="polite">
          {q.length < 2 ? '\u00a0' : `${hits.items.length} found${hits.busy ? `, ${count(hits.scanned)} files looked at …` : ''}`}
        </span>
      </div>
      <Trouble error={hits.error} />
      {q.length >= 2 && !hits.busy && hits.items.length === 0 && !hits.error && (
        <Empty title={`The box holds no file named “${q}”.`}>It will after a client has asked for one.</Empty>
      )}
      {hits.items.length > 0 && <Blobs items={hits.items} changed={() => setTurn((n) => n + 1)} />}
      {!hits.busy && hits.next && (
        <button type="button" onClick={() => search(hits)}>
          Look further
        </button>
      )}
    </section>
  )
}

function Blobs({ items, changed }: { items: Blob[]; changed(): void }) {
  const now = useNow(30)
  const settings = useAsk<Settings>('settings')
  const columns: Column<Blob>[] = [
    {
      id: 'name',
      name: 'File',
      cell: (b) => (
        <>
          {b.url ? b.url.split('/').pop() : 'without a name'}
          <small>{b.digest}</small>
        </>
      ),
    },
    {
      id: 'from',
      name: 'From',
      cell: (b) => (
        <>
          {b.url.replace(/^https?:\/\//, '').replace(/\/(pool|dists)\/.*/, '') || '–'}
          <small>{[b.suite, b.url && (b.signed ? 'signed' : 'not signed')].filter(Boolean).join(', ')}</small>
        </>
      ),
    },
    { id: 'size', name: 'Size', number: true, cell: (b) => bytes(b.size) },
    { id: 'used', name: 'Last asked for', number: true, cell: (b) => ago(b.used, now) },
  ]
  if (settings.data?.admin && admin.known) {
    columns.push({ id: 'actions', name: 'Actions', cell: (b) => <BlobActions blob={b} changed={changed} /> })
  } else {
    columns.push({ id: 'pinned', name: 'Pinned', cell: (b) => (b.pinned ? 'yes' : '–') })
  }
  return <Table label="Files found" columns={columns} rows={items} name={(b) => b.digest} />
}

function BlobActions({ blob, changed }: { blob: Blob; changed(): void }) {
  const [said, say] = useState('')
  const act = (method: 'POST' | 'PUT' | 'DELETE', what: string, done: string) => async () => {
    say('…')
    try {
      await change(method, `blobs/${blob.digest}${what}`)
      say(done)
      if (what !== '/verify') changed()
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <div class="actions">
      {blob.pinned ? (
        <button type="button" onClick={act('DELETE', '/pin', 'unpinned')}>
          Unpin
        </button>
      ) : (
        <button type="button" onClick={act('PUT', '/pin', 'pinned')}>
          Pin
        </button>
      )}
      <button type="button" onClick={act('POST', '/verify', 'verified: as the index says')}>
        Verify
      </button>
      <button type="button" onClick={act('DELETE', '', 'evicted')}>
        Evict
      </button>
      <span role="status">{said}</span>
    </div>
  )
}
