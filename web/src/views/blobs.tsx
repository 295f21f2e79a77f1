// Files that are held: the search among them, and what can be done with one.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { type Blob, change, part, type Source } from '../api.ts'
import { useAdmin, useNow } from '../ask.ts'
import { AskedBack, type Column, Empty, Table, Trouble } from '../parts.tsx'
import { newSearch, nothing } from '../search.ts'
import { ago, bytes, count, short } from '../units.ts'

/** FilesFound are the files held whose name or digest contains q. */
export function FilesFound({ q }: { q: string }) {
  const [hits, show] = useState(nothing)
  const [turn, setTurn] = useState(0)
  const search = useMemo(() => newSearch(show), [])
  useEffect(() => {
    search.begin(q)
    return search.stop
  }, [q, turn])
  return (
    <section class="section" aria-labelledby="files">
      <div class="head">
        <h2 id="files">Files held</h2>
        <span class="quiet text-small" aria-live="polite">
          {hits.busy ? `${count(hits.scanned)} files looked at …` : hits.next ? `the first ${hits.items.length}` : `${hits.items.length} found`}
        </span>
      </div>
      <Trouble error={hits.error} />
      {!hits.busy && hits.items.length === 0 && !hits.error && (
        <Empty title={`The box holds no file named “${q}”.`}>It will after a client has asked for one.</Empty>
      )}
      {hits.items.length > 0 && <BlobTable label="Files found" items={hits.items} link changed={() => setTurn((n) => n + 1)} />}
      {!hits.busy && hits.next && (
        <button type="button" onClick={search.further}>
          Look further
        </button>
      )}
    </section>
  )
}

interface BlobTableProps {
  label: string
  items: Blob[]
  /** link makes of each name a link to its package. */
  link?: boolean
  changed(): void
}

export function BlobTable({ label, items, link, changed }: BlobTableProps) {
  const now = useNow(30)
  const may = useAdmin() === 'given'
  const columns: Column<Blob>[] = [
    {
      id: 'name',
      name: 'File',
      cell: (b) => (
        <>
          {link && b.package ? <a href={'#/packages/' + part(b.package)}>{b.name}</a> : b.name || 'without a name'}
          <small class="digest">{b.digest}</small>
        </>
      ),
    },
    {
      id: 'suite',
      name: 'Archive',
      cell: (b) => (
        <>
          {b.url.replace(/^https?:\/\//, '').replace(/\/(pool|dists)\/.*/, '') || '–'}
          <small>{[b.suite, b.url && (b.signed ? 'signed' : 'not signed')].filter(Boolean).join(', ')}</small>
        </>
      ),
    },
    { id: 'from', name: 'Taken from', cell: (b) => <Sources of={b.from} /> },
    { id: 'size', name: 'Size', number: true, cell: (b) => bytes(b.size) },
    { id: 'used', name: 'Last asked for', number: true, cell: (b) => ago(b.used, now) },
    { id: 'pinned', name: 'Pinned', cell: (b) => (b.pinned ? 'yes' : '–') },
  ]
  if (may) columns[columns.length - 1] = { id: 'actions', name: 'Actions', cell: (b) => <BlobActions blob={b} changed={changed} /> }
  return <Table label={label} columns={columns} rows={items} name={(b) => b.digest} />
}

function Sources({ of }: { of: Source[] }) {
  if (of.length === 0) return <>not known</>
  return (
    <>
      {of.map((s) => (
        <div key={s.origin + s.name}>
          {s.origin === 'peer' ? 'peer ' : ''}
          <span title={s.name}>{s.origin === 'peer' ? short(s.name) : s.name}</span>
        </div>
      ))}
    </>
  )
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
      <AskedBack label="Evict" sure="Evict now" no="Keep" about={blob.name} act={act('DELETE', '', 'evicted')} />
      <span role="status">{said}</span>
    </div>
  )
}
