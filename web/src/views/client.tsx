import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import {
  admin,
  type ClientDetail,
  type ClientFailure,
  type ClientPackage,
  type ClientSuite,
  type ClientUpdate,
  change,
  part,
  Refusal,
} from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { AskedBack, type Column, Empty, Naming, OriginBar, OriginKey, Section, Table, Trouble } from '../parts.tsx'
import { others } from '../privacy.ts'
import { ago, bare, bytes, count, day, moment, share } from '../units.ts'

/** ClientView is all that the box knows of one client. */
export function ClientView({ address }: { address: string }) {
  const ask = useAsk<ClientDetail>('clients/' + part(address), 15)
  const unknown = ask.error instanceof Refusal && ask.error.status === 404
  const c = ask.data
  const name = c?.given_name || c?.hostname
  return (
    <>
      <div class="heading">
        <p class="text-small">
          <a href="#/clients">All clients</a>
        </p>
        <h1 class="wrap">{name || address}</h1>
        <p>{name ? [c?.given_name && c.hostname, address].filter(Boolean).join(', ') : 'What this client asked for, got, and did not get.'}</p>
      </div>
      {unknown && !c ? (
        <Empty title={ask.error!.message}>
          A client stands here once it has asked this box for a file. <a href="#/setup">Set up a client</a>
        </Empty>
      ) : (
        <Trouble error={ask.error} />
      )}
      {c && (
        <>
          <Facts of={c} />
          {admin.known && address !== others && <Actions of={c} changed={ask.again} />}
          <Failures of={c.failures} address={address} />
          <Suites of={c.suites} since={c.since} />
          <Pending of={c} />
          <Packages of={c} />
        </>
      )}
    </>
  )
}

function Facts({ of: c }: { of: ClientDetail }) {
  const now = useNow(10)
  return (
    <dl class="facts">
      <div>
        <dt>Last successful update</dt>
        <dd>
          {ago(c.last_update, now) || 'none seen'}
          <small>{c.last_update ? moment(c.last_update) : c.since ? `since ${day(c.since)}` : 'not noted (MILLPOND_PRIVACY)'}</small>
        </dd>
      </div>
      <div>
        <dt>Requests</dt>
        <dd>
          {count(c.requests)}
          <small>
            last {ago(c.last, now)}, first {moment(c.first)}
          </small>
        </dd>
      </div>
      <div>
        <dt>Got</dt>
        <dd>
          {bytes(c.client_bytes)}
          <small>{share(c.client_bytes - c.client_bytes_from_mirror, c.client_bytes) || '0\u00a0%'} of it not from a mirror</small>
          {c.tunnel_bytes > 0 && (
            <small>
              and {bytes(c.tunnel_bytes)} <a href="#/mirrors">in tunnels</a>, uncached
            </small>
          )}
        </dd>
      </div>
      <div>
        <dt>Where its bytes came from</dt>
        <dd>
          <OriginBar of={c} />
          <OriginKey of={c} />
        </dd>
      </div>
    </dl>
  )
}

function Actions({ of: c, changed }: { of: ClientDetail; changed(): void }) {
  const [said, say] = useState('')
  const erase = async () => {
    try {
      await change('POST', 'clients/erase', { address: c.name })
      location.hash = '#/clients'
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <div class="actions">
      <Naming about={c.name} now={c.given_name} path="clients/name" body={(name) => ({ address: c.name, name })} done={changed} />
      <AskedBack label="Erase" sure="Erase for good" no="Keep" about={c.name} act={erase} />
      <span role="status">{said}</span>
    </div>
  )
}

interface ListProps<T> {
  id: string
  title: string
  about: ComponentChildren
  none: ComponentChildren
  columns: Column<T>[]
  rows: T[]
  name(row: T): string
}

/** List is a table, or a line in its place. */
function List<T>({ id, title, about, none, columns, rows, name }: ListProps<T>) {
  return (
    <Section id={id} title={title} about={about}>
      {rows.length === 0 ? <p class="quiet">{none}</p> : <Table label={title} columns={columns} rows={rows} name={name} />}
    </Section>
  )
}

function Failures({ of, address }: { of: ClientFailure[]; address: string }) {
  const now = useNow(10)
  const columns: Column<ClientFailure>[] = [
    {
      id: 'cause',
      name: 'Why',
      cell: (f) => (
        <>
          {f.cause || 'not kept (MILLPOND_PRIVACY)'}
          <small class="wrap">{bare(f.url)}</small>
        </>
      ),
    },
    { id: 'status', name: 'Answer', number: true, cell: (f) => f.status },
    { id: 'times', name: 'Times', number: true, cell: (f) => count(f.times) },
    { id: 'first', name: 'First', number: true, cell: (f) => moment(f.first) },
    { id: 'last', name: 'Last', number: true, cell: (f) => ago(f.last, now) },
  ]
  return (
    <List
      id="failures"
      title="What it did not get"
      about={
        <>
          Requests that were not served, and why. <a href={'#/events?client=' + encodeURIComponent(address)}>Events of this client</a>
        </>
      }
      none="Nothing failed."
      columns={columns}
      rows={of}
      name={(f) => f.status + f.cause + f.url}
    />
  )
}

function Suites({ of, since }: { of: ClientSuite[]; since: string | null }) {
  const now = useNow(10)
  const columns: Column<ClientSuite>[] = [
    {
      id: 'suite',
      name: 'Suite',
      cell: (s) => (
        <>
          {s.name}
          <small>{bare(s.url).replace(/\/dists\/.*/, '')}</small>
        </>
      ),
    },
    { id: 'ring', name: 'Ring', cell: (s) => s.ring || '–' },
    {
      id: 'has',
      name: 'Has the Release of',
      cell: (s) => (
        <>
          {moment(s.date)}
          <small class={s.behind ? 'fault' : undefined}>{s.behind ? `it would get that of ${moment(s.in_force)} now` : 'the one in force'}</small>
        </>
      ),
    },
    { id: 'updated', name: 'Updated', number: true, cell: (s) => ago(s.updated, now) },
  ]
  return (
    <List
      id="suites"
      title="Suites"
      about="What it updates from, and whether it has what is in force."
      none={since ? `It was not seen updating since ${day(since)}.` : 'Not noted (MILLPOND_PRIVACY).'}
      columns={columns}
      rows={of}
      name={(s) => s.ring + s.url}
    />
  )
}

const packageLink = (name: string) => <a href={'#/packages/' + part(name)}>{name}</a>

function Pending({ of: c }: { of: ClientDetail }) {
  const columns: Column<ClientUpdate>[] = [
    { id: 'name', name: 'Package', cell: (p) => packageLink(p.name) },
    { id: 'arch', name: 'Architecture', cell: (p) => p.architecture },
    { id: 'has', name: 'Got last', cell: (p) => p.has },
    { id: 'version', name: 'Newer', cell: (p) => p.version },
    { id: 'suite', name: 'In', cell: (p) => p.suite.replace(/.*\/dists\//, '') },
  ]
  return (
    <List
      id="pending"
      title="Pending updates"
      about={
        c.pending_total > c.pending.length
          ? `The first ${count(c.pending.length)} of ${count(c.pending_total)} packages of which there is a newer version than it got here.`
          : 'Packages of which there is a newer version than it got here. What it got elsewhere, or removed since, the box does not know.'
      }
      none="None that the box knows of."
      columns={columns}
      rows={c.pending}
      name={(p) => p.name + p.architecture}
    />
  )
}

function Packages({ of: c }: { of: ClientDetail }) {
  const now = useNow(10)
  const columns: Column<ClientPackage>[] = [
    { id: 'name', name: 'Package', cell: (p) => packageLink(p.name) },
    {
      id: 'version',
      name: 'Got last',
      cell: (p) => (
        <>
          {p.version}
          <small>{p.architecture}</small>
        </>
      ),
    },
    { id: 'bytes', name: 'Bytes', number: true, cell: (p) => bytes(p.bytes) },
    { id: 'requests', name: 'Requests', number: true, cell: (p) => count(p.requests) },
    { id: 'last', name: 'Last', number: true, cell: (p) => ago(p.last, now) },
  ]
  return (
    <List
      id="packages"
      title="Top packages"
      about={
        c.package_total > c.packages.length
          ? `The ${count(c.packages.length)} that it got most bytes of, of ${count(c.package_total)} that are remembered.`
          : 'What it got most bytes of.'
      }
      none="None is remembered of it."
      columns={columns}
      rows={c.packages}
      name={(p) => p.name + p.architecture}
    />
  )
}
