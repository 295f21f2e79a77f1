import { useMemo, useState } from 'preact/hooks'
import { type ClientAccount, change, type PageClientAccount } from '../api.ts'
import { useAdmin, useAsk, useNow, usePrivacy, useSettled } from '../ask.ts'
import { AskedBack, ClientName, type Column, Empty, Heading, OriginBar, OriginKey, Pager, Search, Table, Trouble } from '../parts.tsx'
import { notKept, others } from '../privacy.ts'
import { type ListState, useListState } from '../route.ts'
import { ago, bytes, count, share } from '../units.ts'

const limit = 50

export function Clients() {
  const [list, turn] = useListState('clients', 'bytes')
  const q = useSettled(list.q.trim(), 200)
  const privacy = usePrivacy()
  // Not redrawn at each letter.
  const found = useMemo(() => <Found list={{ ...list, q }} onChange={turn} />, [q, list.sort, list.offset, list.days])
  return (
    <>
      <Heading title="Clients">
        Who asked this box for archive files, and how much of it the box had. Bytes in tunnels stand apart: nothing in them can be kept.{' '}
        {privacy && notKept(privacy)}
      </Heading>
      <div class="tools">
        <Search label="Part of the name or address" value={list.q} onInput={(text) => turn({ q: text })} />
        <label class="search days">
          <span>Not seen updating for so many days</span>
          <input
            type="number"
            min={0}
            max={365}
            value={list.days || ''}
            placeholder="all clients"
            onInput={(e) => turn({ days: Number(e.currentTarget.value) || 0 })}
          />
        </label>
      </div>
      {found}
    </>
  )
}

interface FoundProps {
  /** list has a search that has settled. */
  list: ListState
  onChange(change: Partial<ListState>): void
}

function Found({ list, onChange }: FoundProps) {
  const ask = useAsk<PageClientAccount>(
    `clients?limit=${limit}&offset=${list.offset}&sort=${list.sort}&q=${encodeURIComponent(list.q)}${list.days > 0 ? `&not_updated_days=${list.days}` : ''}`,
    10,
  )
  const now = useNow(10)
  const may = useAdmin() === 'given'
  const [said, say] = useState('')
  const erase = async (a: ClientAccount) => {
    say('…')
    try {
      await change('POST', 'clients/erase', { address: a.name })
      say('Erased. Its bytes and requests still count in the totals, as those of “others”.')
      ask.again()
    } catch (e) {
      say((e as Error).message)
    }
  }
  const page = ask.data
  return (
    <div class="section">
      <Trouble error={ask.error} />
      <p role="status" hidden={!said}>
        {said}
      </p>
      {page && page.total === 0 ? (
        list.days > 0 && !list.q ? (
          <Empty title={`No client has gone ${list.days === 1 ? 'a day' : `${list.days} days`} without updating.`}>
            All of them got or confirmed a Release since then, or are not known for so long.
          </Empty>
        ) : list.q ? (
          <Empty title={`No client matches “${list.q}”.`}>Search by a part of the host’s name or of the address, such as 10.1. or fd00:.</Empty>
        ) : (
          <Empty title="No client yet.">
            Point apt at this box on one machine, then run apt-get update there. <a href="#/setup">Set up a client</a>
          </Empty>
        )
      ) : (
        page && (
          <>
            <OriginKey />
            <Table
              label="Clients"
              columns={may ? [...columns(page.items, now), erasing(erase)] : columns(page.items, now)}
              rows={page.items}
              name={(a) => a.name}
              sort={list.sort}
              onSort={(sort) => onChange({ sort })}
            />
          </>
        )
      )}
      {page && <Pager offset={page.offset} limit={limit} total={page.total} onTurn={(offset) => onChange({ offset })} />}
    </div>
  )
}

function columns(all: ClientAccount[], now: number): Column<ClientAccount>[] {
  const most = Math.max(0, ...all.map((a) => a.client_bytes))
  return [
    { id: 'name', name: 'Client', sort: true, cell: (a) => <ClientName of={a} /> },
    { id: 'origin', name: 'Bytes, by where they came from', cell: (a) => <OriginBar of={a} most={most} /> },
    { id: 'hit', name: 'Not from mirror', number: true, cell: (a) => share(a.client_bytes - a.client_bytes_from_mirror, a.client_bytes) || '–' },
    { id: 'bytes', name: 'Bytes', number: true, sort: true, cell: (a) => bytes(a.client_bytes) },
    { id: 'requests', name: 'Requests', number: true, sort: true, cell: (a) => count(a.requests) },
    { id: 'tunnel', name: 'In tunnels', number: true, cell: (a) => (a.tunnel_bytes > 0 ? bytes(a.tunnel_bytes) : '–') },
    { id: 'last_update', name: 'Last update', number: true, sort: true, cell: (a) => ago(a.last_update, now) || '–' },
    { id: 'last', name: 'Last seen', number: true, sort: true, cell: (a) => ago(a.last, now) },
  ]
}

function erasing(erase: (a: ClientAccount) => Promise<void>): Column<ClientAccount> {
  return {
    id: 'erase',
    name: 'Actions',
    cell: (a) =>
      // What is erased does not come back.
      a.name !== others && (
        <div class="actions">
          <AskedBack label="Erase" sure="Erase for good" no="Keep" about={a.name} act={() => erase(a)} />
        </div>
      ),
  }
}
