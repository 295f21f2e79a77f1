import { useState } from 'preact/hooks'
import { part, type RingChange, type RingChanges } from '../api.ts'
import { useAsk } from '../ask.ts'
import { type Column, Pager, Table, Trouble } from '../parts.tsx'
import { count } from '../units.ts'

const limit = 25

interface ChangesProps {
  ring: string
  suite: string
  name: string
  /** to is the digest of the generation that a promotion brings: another one is asked about anew. */
  to: string
}

/** Changes are what a promotion of a suite would bring. */
export function Changes(props: ChangesProps) {
  return <Found key={props.to} {...props} />
}

function Found({ ring, suite, name }: ChangesProps) {
  const [offset, turn] = useState(0)
  const ask = useAsk<RingChanges>(`rings/${part(ring)}/changes?suite=${encodeURIComponent(suite)}&limit=${limit}&offset=${offset}`)
  const c = ask.data
  if (!c) return ask.error ? <Trouble error={ask.error} /> : <p class="quiet">Comparing the indices …</p>
  if (c.unread) return <p class="quiet">The indices of one of the two are not here, so that they cannot be compared.</p>
  const number = c.added + c.replaced + c.removed
  return (
    <div class="changes">
      <p>
        <b>{count(c.replaced)}</b> with another version, <b>{count(c.added)}</b> new, <b>{count(c.removed)}</b> gone; <b>{count(c.security)}</b> of
        them with a version that a security suite has.
      </p>
      {c.total < number && <p class="detail">The first {count(c.total)} can be listed.</p>}
      {c.total > 0 && (
        <>
          <Table
            label={`What a promotion of ${name} in ${ring} would bring`}
            columns={columns}
            rows={c.items}
            name={(p) => `${p.package} ${p.architecture}`}
          />
          <Pager offset={c.offset} limit={limit} total={c.total} onTurn={turn} />
        </>
      )}
      <Trouble error={ask.error} />
    </div>
  )
}

const columns: Column<RingChange>[] = [
  {
    id: 'package',
    name: 'Package',
    cell: (p) => (
      <>
        {p.package} <span class="quiet">{p.architecture}</span>
        {p.security && <span class="security">security</span>}
      </>
    ),
  },
  { id: 'old', name: 'Has', cell: (p) => p.old || <span class="quiet">not there</span> },
  { id: 'new', name: 'Gets', cell: (p) => p.new || <span class="quiet">goes</span> },
]
