import { useState } from 'preact/hooks'
import type { MirrorLoad, MirrorLoads } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { type Column, Empty, Pager, Section, Table, Trouble } from '../parts.tsx'
import { others } from '../privacy.ts'
import { ago, bytes, count, share } from '../units.ts'

const limit = 20

/** Spared is how much less mirrors had to do than without the box. */
export function Spared() {
  const [offset, turn] = useState(0)
  const ask = useAsk<MirrorLoads>(`mirrors/load?limit=${limit}&offset=${offset}`, 30)
  const now = useNow(30)
  const all = ask.data
  return (
    <Section
      id="spared"
      title="What mirrors were spared"
      about={
        all
          ? `In the last ${count(all.days)} days. Without the box, each request of a client would have been one to a mirror, and so would its bytes.`
          : '\u00a0'
      }
    >
      <Trouble error={ask.error} />
      {all && (
        <>
          <dl class="facts">
            <div>
              <dt>Requests spared</dt>
              <dd>
                {count(all.sum.spared_requests)}
                <small>
                  {share(all.sum.spared_requests, all.sum.client_requests) || '0\u00a0%'} of {count(all.sum.client_requests)} by clients
                </small>
              </dd>
            </div>
            <div>
              <dt>Bytes spared</dt>
              <dd>
                {bytes(all.sum.spared_bytes)}
                <small>
                  {share(all.sum.spared_bytes, all.sum.client_bytes) || '0\u00a0%'} of {bytes(all.sum.client_bytes)} to clients
                </small>
              </dd>
            </div>
            <div>
              <dt>Requests to mirrors</dt>
              <dd>
                {count(all.sum.requests)}
                <small>{statuses(all.sum)}</small>
              </dd>
            </div>
            <div>
              <dt>Bytes from mirrors</dt>
              <dd>{bytes(all.sum.bytes)}</dd>
            </div>
          </dl>
          {all.total === 0 ? (
            <Empty title="No mirror was asked yet.">The first one appears with the first apt-get update through this box.</Empty>
          ) : (
            <Table label="What mirrors were spared" columns={columns(now)} rows={all.items} name={(m) => m.host} />
          )}
          <Pager offset={all.offset} limit={limit} total={all.total} onTurn={turn} />
        </>
      )}
    </Section>
  )
}

/** statuses are the classes of answers, in words. */
function statuses(m: MirrorLoad): string {
  return m.statuses.map((s) => `${count(s.requests)} ${s.class === 'none' ? 'without an answer' : s.class}`).join(', ')
}

function columns(now: number): Column<MirrorLoad>[] {
  return [
    { id: 'host', name: 'Host', cell: (m) => (m.host === others ? 'other hosts' : m.host) },
    {
      id: 'requests',
      name: 'Requests to it',
      number: true,
      cell: (m) => (
        <>
          {count(m.requests)}
          <small>{statuses(m)}</small>
        </>
      ),
    },
    { id: 'spared', name: 'Requests spared', number: true, cell: (m) => count(m.spared_requests) },
    { id: 'avoided', name: 'Revalidations avoided', number: true, cell: (m) => count(m.revalidations_avoided) },
    { id: 'bytes', name: 'Taken from it', number: true, cell: (m) => bytes(m.bytes) },
    { id: 'saved', name: 'Bytes spared', number: true, cell: (m) => bytes(m.spared_bytes) },
    { id: 'last', name: 'Last', number: true, cell: (m) => ago(m.last, now) || '–' },
  ]
}
