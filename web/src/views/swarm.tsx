import { useState } from 'preact/hooks'
import { admin, change, type Peer, type Swarm } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { AskedBack, type Column, Empty, Heading, Naming, Table, Trouble } from '../parts.tsx'
import { ago, boxName, bytes, count, milliseconds, short } from '../units.ts'
import { SwarmGraph } from './graph.tsx'

export function SwarmView() {
  const status = useAsk<Swarm>('swarm', 5)
  const peers = useAsk<{ peers: Peer[] }>('peers', 5)
  const none = status.data?.enabled === false
  const all = peers.data?.peers ?? []
  return (
    <>
      <Heading title="Swarm">
        Other boxes that give this one files and get files from it. Only what a signed index lists passes between boxes, and every file is verified.
      </Heading>
      {none ? (
        <Empty title="This box is in no swarm.">
          It was switched off. With <code>MILLPOND_SWARM=true</code> boxes on one network find each other, and each takes from the others what they
          hold.
        </Empty>
      ) : (
        <>
          <Trouble error={status.error ?? peers.error} />
          {status.data && <Facts swarm={status.data} />}
          {status.data?.private === false && (
            <p class="quiet">
              Any box can join this swarm. With a swarm key (<code>MILLPOND_SWARM_KEY</code>, the same on all your boxes), only boxes that have it can
              connect. All of them are then members: wherever they are, they tell each other what they hold, share private archives, relay for one
              another and connect at private addresses.
            </p>
          )}
          {peers.data &&
            (all.length === 0 ? (
              <Empty title="No other box is connected.">
                Start one on this network, or name one in <code>MILLPOND_BOOTSTRAP</code>, for instance by its address here:{' '}
                <code>http://{location.host}</code>
              </Empty>
            ) : (
              <>
                <SwarmGraph />
                <section class="section" aria-labelledby="peers">
                  <h2 id="peers">Connected to this box</h2>
                  <Peers peers={all} again={peers.again} />
                </section>
              </>
            ))}
          {admin.known && <UploadRate />}
        </>
      )}
    </>
  )
}

function Facts({ swarm: s }: { swarm: Swarm }) {
  const now = useNow(10)
  return (
    <dl class="facts">
      <div>
        <dt>This box</dt>
        <dd>
          <span title={s.id}>{short(s.id ?? '')}</span>
          <small>{s.private ? 'private swarm: members only' : 'open swarm'}</small>
        </dd>
      </div>
      <div>
        <dt>Reachable from outside</dt>
        <dd>{{ public: 'yes', private: 'no' }[s.reachability ?? ''] ?? 'not known yet'}</dd>
      </div>
      <div>
        <dt>DHT</dt>
        <dd>
          {s.mode}
          <small>
            {count(s.routing_table)} in the routing table, {count(s.records)} records kept
          </small>
        </dd>
      </div>
      <div>
        <dt>Announced</dt>
        <dd>
          {count(s.announced)} of {count(s.to_announce)}
          <small>{ago(s.last_announce, now) ? 'last ' + ago(s.last_announce, now) : 'none yet'}</small>
        </dd>
      </div>
    </dl>
  )
}

/** kinds says what a box of each kind may do here. */
const kinds: Record<Peer['kind'], string> = {
  member: 'has the swarm key or is listed: may do all that a box may',
  local: 'may be a client of this box and is near: learns what is held, and takes turns at the mirror',
  stranger: 'gets shared files by their digest and takes part in the DHT, and nothing else',
}

function Peers({ peers, again }: { peers: Peer[]; again(): void }) {
  const now = useNow(10)
  const columns: Column<Peer>[] = [
    {
      id: 'id',
      name: 'Box',
      cell: (p) => (
        <>
          <span title={p.id}>{boxName(p)}</span>
          <small>{p.given_name ? `${short(p.id)}, ${p.addr}` : p.addr}</small>
        </>
      ),
    },
    { id: 'kind', name: 'Kind', cell: (p) => <span title={kinds[p.kind]}>{p.kind}</span> },
    {
      id: 'path',
      name: 'Path',
      cell: (p) => (
        <>
          {p.path}
          {p.nearby && <small>this site</small>}
        </>
      ),
    },
    { id: 'rtt', name: 'Round trip', number: true, cell: (p) => milliseconds(p.rtt_ms) || '–' },
    { id: 'taken', name: 'Taken', number: true, cell: (p) => bytes(p.taken_bytes) },
    { id: 'given', name: 'Given', number: true, cell: (p) => bytes(p.given_bytes) },
    { id: 'held', name: 'Files', number: true, cell: (p) => count(p.held) },
    {
      id: 'score',
      name: 'Score',
      number: true,
      cell: (p) => (
        <>
          {p.score.toFixed(1)}
          <small>{p.last_fault}</small>
        </>
      ),
    },
    { id: 'since', name: 'Connected', number: true, cell: (p) => ago(p.connected_since, now) },
  ]
  if (admin.known) columns.push({ id: 'actions', name: 'Actions', cell: (p) => <Actions peer={p} done={again} /> })
  return <Table label="Connected boxes" columns={columns} rows={peers} name={(p) => p.id} />
}

/** UploadRate changes how fast the box gives to others, in MB/s. */
function UploadRate() {
  const [said, say] = useState('')
  const submit = async (e: Event) => {
    e.preventDefault()
    const megabytes = Number(new FormData(e.currentTarget as HTMLFormElement).get('rate'))
    try {
      await change('PUT', 'swarm/upload-rate', { bytes_per_second: Math.round(megabytes * 1e6) })
      say(megabytes === 0 ? 'no limit until the box is started again' : `${megabytes} MB/s until the box is started again`)
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <section class="way" aria-labelledby="rate">
      <h2 id="rate">Upload rate</h2>
      <form class="tools" onSubmit={submit}>
        <label class="search">
          <span>MB/s to all boxes together, 0 for no limit; MILLPOND_UPLOAD_RATE sets it for good</span>
          <input type="text" name="rate" inputMode="decimal" pattern="[0-9]+([.][0-9]+)?" required autocomplete="off" />
        </label>
        <button type="submit">Change</button>
        <span role="status">{said}</span>
      </form>
    </section>
  )
}

function Actions({ peer, done }: { peer: Peer; done(): void }) {
  const [said, say] = useState('')
  const ban = async () => {
    try {
      await change('PUT', `peers/${peer.id}/ban`)
      done()
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <div class="actions">
      <Naming about={boxName(peer)} now={peer.given_name} path={`site/boxes/${peer.id}/name`} body={(name) => ({ name })} done={done} />
      <AskedBack label="Ban for a day" sure="Ban it now" about={boxName(peer)} act={ban} />
      <span role="status">{said}</span>
    </div>
  )
}
