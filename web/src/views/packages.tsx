import { type Account, type PageAccount, part } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { type Column, Empty, OriginBar, OriginKey, Pager, Table, Trouble } from '../parts.tsx'
import type { ListState } from '../route.ts'
import { ago, bytes, count } from '../units.ts'

const limit = 20

interface PackagesProps {
  /** list has a search that has settled. */
  list: ListState
  onChange(change: Partial<ListState>): void
}

/** Packages are those that clients asked for, the one that saved most first. */
export function Packages({ list, onChange }: PackagesProps) {
  const ask = useAsk<PageAccount>(`packages?limit=${limit}&offset=${list.offset}&sort=${list.sort}&q=${encodeURIComponent(list.q)}`, 10)
  const now = useNow(10)
  const page = ask.data
  return (
    <>
      <Trouble error={ask.error} />
      {page && page.total === 0 ? (
        list.q ? (
          <Empty title={`No client asked for a package named “${list.q}”.`}>Search by a part of the name, such as lib or linux-image.</Empty>
        ) : (
          <Empty title="No package yet.">
            Packages stand here, the one that saved most first, once a client has installed one through this box.{' '}
            <a href="#/setup">Set up a client</a>
          </Empty>
        )
      ) : (
        page && (
          <>
            <OriginKey />
            <Table
              label="Packages"
              columns={columns(page.items, now)}
              rows={page.items}
              name={(a) => a.name}
              sort={list.sort}
              onSort={(sort) => onChange({ sort })}
            />
          </>
        )
      )}
      {page && <Pager offset={page.offset} limit={limit} total={page.total} onTurn={(offset) => onChange({ offset })} />}
    </>
  )
}

function columns(all: Account[], now: number): Column<Account>[] {
  const most = Math.max(0, ...all.map((a) => a.client_bytes))
  return [
    { id: 'name', name: 'Package', sort: true, cell: (a) => <a href={'#/packages/' + part(a.name)}>{a.name}</a> },
    { id: 'origin', name: 'To clients, by where it came from', cell: (a) => <OriginBar of={a} most={most} /> },
    { id: 'saved', name: 'Saved', number: true, sort: true, cell: (a) => bytes(a.saved_bytes) },
    { id: 'bytes', name: 'To clients', number: true, sort: true, cell: (a) => bytes(a.client_bytes) },
    { id: 'requests', name: 'Requests', number: true, sort: true, cell: (a) => count(a.requests) },
    { id: 'last', name: 'Last asked for', number: true, sort: true, cell: (a) => ago(a.last, now) },
  ]
}
