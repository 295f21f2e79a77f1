import { useState } from 'preact/hooks'
import type { Account, Page } from '../api.ts'
import { useAsk, useNow, useSettled } from '../ask.ts'
import { Empty, Heading, OriginBar, Pager, Search, Table, Trouble, type Column } from '../parts.tsx'
import { ago, bytes, count, share } from '../units.ts'

const limit = 50

export function Clients() {
  const [query, setQuery] = useState('')
  const [sort, setSort] = useState('bytes')
  const [offset, setOffset] = useState(0)
  const q = useSettled(query.trim(), 200)
  const ask = useAsk<Page<Account>>(`clients?limit=${limit}&offset=${offset}&sort=${sort}&q=${encodeURIComponent(q)}`, 10)
  const now = useNow(10)
  const page = ask.data
  const from = (set: (v: string) => void) => (v: string) => {
    setOffset(0)
    set(v)
  }
  return (
    <>
      <Heading title="Clients">
        Who asked this box for archive files, and how much of it the box had. Bytes in tunnels stand apart: nothing in them can be kept.
      </Heading>
      <div class="tools">
        <Search label="Part of the address" value={query} onInput={from(setQuery)} />
      </div>
      <Trouble error={ask.error} />
      {page && page.total === 0 ? (
        q ? (
          <Empty title={`No client matches “${q}”.`}>Search by a part of the address, such as 10.1. or fd00:.</Empty>
        ) : (
          <Empty title="No client yet.">
            Point apt at this box on one machine, then run apt-get update there. <a href="#/setup">Set up a client</a>
          </Empty>
        )
      ) : (
        page && <Table label="Clients" columns={columns(now)} rows={page.items} name={(a) => a.name} sort={sort} onSort={from(setSort)} />
      )}
      {page && <Pager offset={page.offset} limit={limit} total={page.total} onTurn={setOffset} />}
    </>
  )
}

function columns(now: number): Column<Account>[] {
  return [
    { id: 'name', name: 'Client', sort: true, cell: (a) => a.name },
    {
      id: 'origin',
      name: 'From store, peers, mirror',
      cell: (a) => <OriginBar store={a.client_bytes_from_store} peers={a.client_bytes_from_peers} mirror={a.client_bytes_from_mirror} />,
    },
    { id: 'hit', name: 'Not from mirror', number: true, cell: (a) => share(a.client_bytes - a.client_bytes_from_mirror, a.client_bytes) || '–' },
    { id: 'bytes', name: 'Bytes', number: true, sort: true, cell: (a) => bytes(a.client_bytes) },
    { id: 'requests', name: 'Requests', number: true, sort: true, cell: (a) => count(a.requests) },
    { id: 'tunnel', name: 'In tunnels', number: true, cell: (a) => (a.tunnel_bytes > 0 ? bytes(a.tunnel_bytes) : '–') },
    { id: 'last', name: 'Last seen', number: true, sort: true, cell: (a) => ago(a.last, now) },
  ]
}
