import { type Package, type PackageClient, part, Refusal } from '../api.ts'
import { useAsk, useNow, usePrivacy } from '../ask.ts'
import { ClientName, type Column, Empty, OriginBar, OriginKey, Table, Trouble } from '../parts.tsx'
import { ago, bytes, count, moment, share } from '../units.ts'
import { BlobTable } from './blobs.tsx'

/** PackageView is all that the box knows of one package. */
export function PackageView({ name }: { name: string }) {
  const ask = useAsk<Package>('packages/' + part(name), 15)
  const unknown = ask.error instanceof Refusal && ask.error.status === 404
  const p = ask.data
  return (
    <>
      <div class="heading">
        <p class="text-small">
          <a href="#/packages">All packages</a>
        </p>
        <h1 class="wrap">{name}</h1>
      </div>
      {unknown && !p ? (
        <Empty title={ask.error!.message}>
          A package stands here once a client has asked for it.{' '}
          <a href={'#/packages?q=' + encodeURIComponent(name)}>Search for it among the files held</a>
        </Empty>
      ) : (
        <Trouble error={ask.error} />
      )}
      {p && (
        <>
          <Facts of={p} />
          <section class="section" aria-labelledby="versions">
            <h2 id="versions">Held</h2>
            {p.versions.length === 0 ? (
              <Empty title="The box holds no file of this package now.">
                What it held made room for others. It is fetched again when a client asks for it.
              </Empty>
            ) : (
              <BlobTable label="Files held of this package" items={p.versions} changed={ask.again} />
            )}
          </section>
          <section class="section" aria-labelledby="clients">
            <h2 id="clients">Requested by</h2>
            {p.clients.length > 0 && p.clients.reduce((n, c) => n + c.requests, 0) < p.requests && (
              <p class="quiet text-small">The {p.clients.length} that asked last; more did before.</p>
            )}
            <Clients of={p.clients} />
          </section>
        </>
      )}
    </>
  )
}

function Facts({ of: p }: { of: Package }) {
  const now = useNow(10)
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Saved from the mirrors</dt>
          <dd>
            {bytes(p.saved_bytes)}
            <small>
              {share(p.saved_bytes, p.client_bytes) && `${share(p.saved_bytes, p.client_bytes)} of ${bytes(p.client_bytes)} that clients got`}
            </small>
          </dd>
        </div>
        <div>
          <dt>Requests</dt>
          <dd>
            {count(p.requests)}
            <small>
              last {ago(p.last, now)}, first {moment(p.first)}
            </small>
          </dd>
        </div>
        <div>
          <dt>Held</dt>
          <dd>
            {bytes(p.versions.reduce((n, v) => n + v.size, 0))}
            <small>{p.versions.length === 1 ? '1 file' : `${count(p.versions.length)} files`}</small>
          </dd>
        </div>
        <div>
          <dt>Where its bytes came from</dt>
          <dd>
            <OriginBar of={p} />
            <OriginKey of={p} />
          </dd>
        </div>
      </dl>
    </>
  )
}

function Clients({ of }: { of: PackageClient[] }) {
  const now = useNow(10)
  const secret = usePrivacy()?.no_packages_per_client
  if (of.length === 0) {
    return (
      <p class="quiet">{secret ? 'This box does not keep which clients asked (MILLPOND_PRIVACY).' : 'Which clients asked is no longer known.'}</p>
    )
  }
  const columns: Column<PackageClient>[] = [
    { id: 'name', name: 'Client', cell: (c) => <ClientName of={c} /> },
    { id: 'bytes', name: 'Bytes', number: true, cell: (c) => bytes(c.bytes) },
    { id: 'requests', name: 'Requests', number: true, cell: (c) => count(c.requests) },
    { id: 'last', name: 'Last asked', number: true, cell: (c) => ago(c.last, now) },
  ]
  return <Table label="Clients that asked for it" columns={columns} rows={of} name={(c) => c.name} />
}
