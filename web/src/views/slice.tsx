import { useEffect, useMemo, useState } from 'preact/hooks'
import type { Holding, PageSuite, Slice, Suite } from '../api.ts'
import { useAdmin, useAsk, useNow, useSettled } from '../ask.ts'
import type { Live } from '../live.ts'
import { type Column, Empty, Heading, Meter, Search, Section, Table, Trouble } from '../parts.tsx'
import { useListState } from '../route.ts'
import { ago, bytes, count, day, moment, share } from '../units.ts'
import { FilesFound } from './blobs.tsx'
import { Unsigned } from './keys.tsx'
import { Packages } from './packages.tsx'
import { PrefetchButton, PrefetchPanel, usePrefetch } from './prefetch.tsx'
import { RejectedRelease } from './rejected.tsx'
import { SuiteState, schemes } from './suites.tsx'

export function SliceView({ live }: { live: Live }) {
  const s = live.tick?.summary
  return (
    <>
      <Heading title="Packages">
        What clients asked for, and the slice: the part of the archives that this box holds, which is what it can serve without a mirror. When room is
        needed, superseded files are evicted first, then those requested least.
      </Heading>
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
      <Find />
      <Holdings />
      <Suites />
    </>
  )
}

/** Find shows the packages that saved most, or what a search finds. */
function Find() {
  const [list, change] = useListState('packages', 'saved')
  const q = useSettled(list.q.trim(), 250)
  // Not redrawn at each letter.
  const packages = useMemo(() => <Packages list={{ ...list, q }} onChange={change} />, [q, list.sort, list.offset])
  const files = useMemo(() => q.length >= 2 && <FilesFound q={q} />, [q])
  return (
    <>
      <section class="section" aria-labelledby="packages">
        <h2 id="packages">{q ? 'Packages found' : 'Packages by what they saved'}</h2>
        <div class="tools">
          <Search label="Part of a package’s name, or of a file’s name or digest" value={list.q} onInput={(text) => change({ q: text })} />
        </div>
        {packages}
      </section>
      {files}
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
    <Section
      id="holdings"
      title="By archive, component and architecture"
      about={
        running
          ? 'Counting what is held …'
          : ask.data
            ? `Counted ${ago(ask.data.surveyed, now) || 'never'}. Suites share packages, so that a suite stands only beside its indices.`
            : '\u00a0'
      }
    >
      <Trouble error={ask.error} />
      {ask.data && !running && rows.length === 0 ? (
        <Empty title="The store is empty.">
          Files are kept as clients ask for them. <a href="#/setup">Set up a client</a>
        </Empty>
      ) : (
        <Table label="Holdings" columns={holdingColumns} rows={rows} name={(h) => [h.archive, h.suite, h.component, h.architecture].join(' ')} />
      )}
    </Section>
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

const sharedWith: Record<Suite['shared'], string> = { all: 'all boxes', members: 'members', nobody: 'no box' }

function Suites() {
  const ask = useAsk<PageSuite>('suites?limit=200', 30)
  const prefetch = usePrefetch()
  const may = useAdmin()
  const now = useNow(10)
  if (!ask.data || ask.data.items.length === 0) return null
  const columns: Column<Suite>[] = [
    {
      id: 'suite',
      name: 'Suite',
      cell: (s) => (
        <>
          {s.name}
          <small>{s.also.length > 0 ? `${s.url}, by ${schemes(s)}` : s.url}</small>
        </>
      ),
    },
    {
      id: 'state',
      name: 'State',
      cell: (s) => (
        <>
          <SuiteState suite={s} />
          {(s.state === 'stale' || s.state === 'expired') && <small>{s.reason}</small>}
          <RejectedRelease suite={s} changed={ask.again} />
        </>
      ),
    },
    { id: 'signed', name: 'Signed', cell: (s) => (s.signed ? 'yes' : <Unsigned suite={s} />) },
    {
      id: 'shared',
      name: 'Shared with',
      cell: (s) => (
        <>
          {sharedWith[s.shared]}
          <small>{s.shared_why}</small>
        </>
      ),
    },
    { id: 'date', name: 'Published', number: true, cell: (s) => (s.date ? moment(s.date) : '') },
    { id: 'checked', name: 'Checked', number: true, cell: (s) => ago(s.checked, now) || '–' },
    { id: 'listed', name: 'Files listed', number: true, cell: (s) => count(s.indices.reduce((n, i) => n + i.files, 0)) },
  ]
  if (may === 'given') {
    columns.push({
      id: 'prefetch',
      name: 'Actions',
      cell: (s) => <PrefetchButton label="Prefetch now" suite={s.url} running={prefetch.data?.running} started={prefetch.again} />,
    })
  }
  return (
    <Section id="suites" title="Suites that clients use">
      <PrefetchPanel ask={prefetch} suites={ask.data.items} />
      <Table label="Suites" columns={columns} rows={ask.data.items} name={(s) => s.url} />
    </Section>
  )
}
