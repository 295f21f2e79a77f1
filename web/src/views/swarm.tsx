import { useState } from 'preact/hooks'
import { admin, change, type Peer, type Swarm } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { Empty, Heading, Table, Trouble, type Column } from '../parts.tsx'
import { ago, bytes, count } from '../units.ts'

export function SwarmView() {
  const status = useAsk<Swarm>('swarm', 5)
  const peers = useAsk<{ peers: Peer[] }>('peers', 5)
  const none = status.data?.enabled === false
  const all = peers.data?.peers ?? []
  return (
    <>
      <Heading title="Swarm">
        Other boxes that give this one files and get files from it. Only what a signed index lists passes between boxes, and every
        file is verified.
      </Heading>
      {none ? (
        <Empty title="This box is in no swarm.">
          It was switched off. With <code>MILLPOND_SWARM=true</code> boxes on one network find each other, and each takes from the others
          what they hold.
        </Empty>
      ) : (
        <>
          <Trouble error={status.error ?? peers.error} />
          {status.data && <Facts swarm={status.data} />}
          {peers.data &&
            (all.length === 0 ? (
              <Empty title="No other box is connected.">
                Start one on this network, or name one in <code>MILLPOND_BOOTSTRAP</code>, for instance by its address here:{' '}
                <code>http://{location.host}</code>
              </Empty>
            ) : (
              <>
                <Graph self={status.data?.id ?? ''} peers={all} />
                <Peers peers={all} again={peers.again} />
              </>
            ))}
          {admin.known && <UploadRate />}
        </>
      )}
    </>
  )
}

const short = (id: string) => '…' + id.slice(-8)

function Facts({ swarm: s }: { swarm: Swarm }) {
  const now = useNow(10)
  return (
    <dl class="facts">
      <div>
        <dt>This box</dt>
        <dd>
          <span title={s.id}>{short(s.id ?? '')}</span>
          <small>{s.private ? 'private swarm, by key' : 'open swarm'}</small>
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

/** drawn is how many peers the drawing has room for; the table has all. */
const drawn = 24

/** Graph draws this box and its peers, the nearer the shorter the round trip. */
function Graph({ self, peers }: { self: string; peers: Peer[] }) {
  const shown = [...peers].sort((a, b) => b.taken_bytes + b.given_bytes - a.taken_bytes - a.given_bytes).slice(0, drawn)
  const [cx, cy] = [350, 165]
  const spots = shown.map((p, i) => {
    const angle = (2 * Math.PI * i) / shown.length - Math.PI / 2
    const r = 0.55 + 0.45 * Math.min(1, Math.log10(1 + p.rtt_ms) / 2.5)
    return { p, x: cx + Math.cos(angle) * 250 * r, y: cy + Math.sin(angle) * 125 * r }
  })
  return (
    <svg class="graph" viewBox="0 -20 700 370" role="img" aria-label={`This box and ${peers.length} connected boxes. The table below has the same.`}>
      {spots.map(({ p, x, y }) => (
        <line key={p.id} class={p.path} x1={cx} y1={cy} x2={x} y2={y} stroke-width={1 + Math.min(6, Math.log10(1 + (p.taken_bytes + p.given_bytes) / 1e6))} />
      ))}
      {spots.map(({ p, x, y }) => (
        <g key={p.id}>
          <circle cx={x} cy={y} r="7" />
          <text x={x} y={y > cy ? y + 22 : y - 27} text-anchor="middle">
            {short(p.id)}
          </text>
          <text class="small" x={x} y={y > cy ? y + 37 : y - 13} text-anchor="middle">
            {p.rtt_ms > 0 ? `${p.rtt_ms < 10 ? p.rtt_ms.toFixed(1) : Math.round(p.rtt_ms)} ms` : ''}
          </text>
        </g>
      ))}
      <g class="self">
        <circle cx={cx} cy={cy} r="10" />
        <text x={cx} y={cy - 18} text-anchor="middle">
          {self && 'this box'}
        </text>
      </g>
    </svg>
  )
}

function Peers({ peers, again }: { peers: Peer[]; again(): void }) {
  const now = useNow(10)
  const columns: Column<Peer>[] = [
    {
      id: 'id',
      name: 'Box',
      cell: (p) => (
        <>
          <span title={p.id}>{short(p.id)}</span>
          <small>{p.addr}</small>
        </>
      ),
    },
    {
      id: 'path',
      name: 'Path',
      cell: (p) => (
        <>
          {p.path}
          {p.nearby && <small>same site</small>}
        </>
      ),
    },
    { id: 'rtt', name: 'Round trip', number: true, cell: (p) => (p.rtt_ms > 0 ? `${p.rtt_ms.toFixed(1)} ms` : '–') },
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
  if (admin.known) columns.push({ id: 'ban', name: 'Actions', cell: (p) => <Ban peer={p} done={again} /> })
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

function Ban({ peer, done }: { peer: Peer; done(): void }) {
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
      <button type="button" onClick={ban}>
        Ban for a day
      </button>
      <span role="status">{said}</span>
    </div>
  )
}
