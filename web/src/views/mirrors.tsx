import { useMemo } from 'preact/hooks'
import type { Host, Mirror, MirrorList, PageHost } from '../api.ts'
import { useAsk, useNow, useSettled } from '../ask.ts'
import type { Live } from '../live.ts'
import { type Column, Empty, Heading, Pager, Search, Section, Table, Trouble } from '../parts.tsx'
import { useReach } from '../reach.ts'
import { type ListState, useListState } from '../route.ts'
import { ago, bytes, count, day, milliseconds, rate, share } from '../units.ts'
import { Spared } from './spared.tsx'
import { TunnelList } from './tunnels.tsx'

const limit = 50

export function Mirrors({ live }: { live: Live }) {
  const s = live.tick?.summary
  const reach = useReach()
  const since = s && `since ${day(s.since)}`
  const [list, change] = useListState('mirrors', 'mirror_requests')
  const q = useSettled(list.q.trim(), 200)
  // Not redrawn at each letter.
  const found = useMemo(() => <Found list={{ ...list, q }} onChange={change} />, [q, list.sort, list.offset])
  return (
    <>
      <Heading title="Mirrors">
        What this box asked the archives’ hosts for, and how often it did not have to. Requests load a mirror, however few bytes their answers have.
      </Heading>
      <dl class="facts">
        <div>
          <dt>Requests to mirrors</dt>
          <dd>
            {s ? count(s.mirror_requests) : '–'}
            <small>{since}</small>
          </dd>
        </div>
        <div>
          <dt>Revalidations avoided</dt>
          <dd>
            {s ? count(s.revalidations_avoided) : '–'}
            <small>requests of clients for Release files, and files that no index lists, answered without one</small>
          </dd>
        </div>
        <div>
          <dt>Taken from mirrors</dt>
          <dd>
            {s ? bytes(s.mirror_bytes) : '–'}
            <small>{s && `${share(s.mirror_bytes, s.client_bytes) || '0 %'} of what clients got`}</small>
          </dd>
        </div>
      </dl>
      <Several />
      <Spared />
      <TunnelList of={reach} />
      <Section id="hosts" title="By host">
        <div class="tools">
          <Search label="Part of the name" value={list.q} onInput={(text) => change({ q: text })} />
        </div>
        {found}
      </Section>
    </>
  )
}

/** Several are the mirrors of archives that have more than one; mostly none has. */
function Several() {
  const ask = useAsk<MirrorList>('mirrors', 10)
  const now = useNow(10)
  const all = ask.data?.mirrors ?? []
  if (all.length === 0) return <Trouble error={ask.error} />
  const columns: Column<Mirror>[] = [
    {
      id: 'url',
      name: 'Mirror',
      cell: (m) => (
        <>
          {m.url}
          <small>of {m.archive}</small>
        </>
      ),
    },
    { id: 'state', name: 'State', cell: (m) => <State of={m} /> },
    { id: 'first', name: 'First byte', number: true, cell: (m) => milliseconds(m.first_byte_ms) || '–' },
    { id: 'rate', name: 'Rate', number: true, cell: (m) => (m.rate_bytes > 0 ? rate(m.rate_bytes) : '–') },
    { id: 'measured', name: 'Last answer', number: true, cell: (m) => ago(m.measured, now) || 'none yet' },
  ]
  return (
    <section class="section" aria-labelledby="several">
      <h2 id="several">Mirrors of one archive</h2>
      <p class="quiet text-small">
        The fastest one is asked first, the others where it fails (MILLPOND_MIRRORS). Bytes count as the archive’s, requests as those of the mirror
        that got them.
      </p>
      <Trouble error={ask.error} />
      <Table label="Mirrors of one archive" columns={columns} rows={all} name={(m) => `${m.archive} ${m.url}`} />
    </section>
  )
}

function State({ of: m }: { of: Mirror }) {
  if (m.down) {
    return (
      <>
        <span class="freshness stale">
          <i aria-hidden="true" />
          asked last
        </span>
        <small>{m.down}</small>
      </>
    )
  }
  if (!m.measured) return <span class="quiet">not asked yet</span>
  return (
    <span class="freshness fresh">
      <i aria-hidden="true" />
      answers
    </span>
  )
}

interface FoundProps {
  /** list has a search that has settled. */
  list: ListState
  onChange(change: Partial<ListState>): void
}

function Found({ list, onChange }: FoundProps) {
  const ask = useAsk<PageHost>(`hosts?limit=${limit}&offset=${list.offset}&sort=${list.sort}&q=${encodeURIComponent(list.q)}`, 10)
  const now = useNow(10)
  const page = ask.data
  return (
    <>
      <Trouble error={ask.error} />
      {page && page.total === 0 ? (
        list.q ? (
          <Empty title={`No host matches “${list.q}”.`}>Search by a part of the name, such as debian.</Empty>
        ) : (
          <Empty title="No host yet.">The first one appears with the first apt-get update through this box.</Empty>
        )
      ) : (
        page && (
          <Table label="Hosts" columns={columns(now)} rows={page.items} name={(h) => h.name} sort={list.sort} onSort={(sort) => onChange({ sort })} />
        )
      )}
      {page && <Pager offset={page.offset} limit={limit} total={page.total} onTurn={(offset) => onChange({ offset })} />}
    </>
  )
}

function columns(now: number): Column<Host>[] {
  return [
    { id: 'name', name: 'Host', sort: true, cell: (h) => h.name },
    { id: 'mirror_requests', name: 'Requests to it', number: true, sort: true, cell: (h) => count(h.mirror_requests) },
    { id: 'answers', name: 'Its answers', cell: (h) => <Answers of={h} /> },
    { id: 'avoided', name: 'Avoided', number: true, cell: (h) => count(h.revalidations_avoided) },
    { id: 'taken', name: 'Taken from it', number: true, cell: (h) => bytes(h.mirror_bytes) },
    { id: 'bytes', name: 'To clients', number: true, sort: true, cell: (h) => bytes(h.client_bytes) },
    { id: 'last', name: 'Last used', number: true, sort: true, cell: (h) => ago(h.last, now) },
  ]
}

const words: Record<string, string> = { none: 'no answer', other: 'other statuses' }

/** Answers are the statuses, the most frequent first. */
function Answers({ of }: { of: Host }) {
  if (of.answers.length === 0) return <span class="quiet">–</span>
  const all = [...of.answers].sort((a, b) => b.requests - a.requests)
  return (
    <span class="answers">
      {all.map((a) => (
        <span key={a.status}>
          {words[a.status] ?? a.status} <b>{count(a.requests)}</b>
        </span>
      ))}
    </span>
  )
}
