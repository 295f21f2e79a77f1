import type { Prefetch, PrefetchCost, PrefetchWave } from '../api.ts'
import { address, partsOf, within } from '../archive.ts'
import { type Answer, useNow } from '../ask.ts'
import { type Column, Empty, Meter, Section, Table, Trouble } from '../parts.tsx'
import { files } from '../prefetch.ts'
import { bytes, count, day, moment, round, share } from '../units.ts'

/** PrefetchAccount is what fetching ahead cost, and what became of it. */
export function PrefetchAccount({ ask }: { ask: Answer<Prefetch> }) {
  const p = ask.data
  return (
    <Section
      id="account"
      title="Prefetch account"
      about={
        <>
          New versions of packages that clients had, fetched before they asked. A file is used once clients got as many bytes of it as it has, and
          wasted if it was evicted before, had to be fetched again, or waited for 14 days. <a href="#/packages">Prefetch now</a> is beside the suites.
        </>
      }
    >
      <Trouble error={ask.error} />
      {p && (
        <>
          <div class="account">
            <Total of={p} />
            <Budget of={p} />
          </div>
          {p.waves.length === 0 ? (
            <Empty title="Nothing was fetched ahead yet.">It begins by itself when a followed suite changes.</Empty>
          ) : (
            <Waves of={p} />
          )}
        </>
      )}
    </Section>
  )
}

function Total({ of: p }: { of: Prefetch }) {
  const c = p.total
  const parts = partsOf(c)
  return (
    <div class="measure">
      <p>
        <b>{bytes(parts.fetched)}</b> fetched ahead since {day(p.since)}, in {files(c.files)}; {share(c.from_peers, parts.fetched) || '0 %'} from
        other boxes
      </p>
      <CostBar of={c} />
      <ul class="legend" aria-label="What became of it">
        <li class="used">
          used: {bytes(parts.used)} in {files(c.used_files)}
        </li>
        <li class="wasted">
          wasted: {bytes(parts.wasted)} in {files(c.wasted_files)}
        </li>
        <li class="open">not decided yet: {bytes(parts.open)}</li>
      </ul>
    </div>
  )
}

function Budget({ of: p }: { of: Prefetch }) {
  const now = useNow(30)
  const b = p.budget
  if (b.bytes === 0) {
    return (
      <div class="measure">
        <p>
          <b>Nothing</b> is fetched ahead by itself: <code>MILLPOND_PREFETCH</code> is 0.
        </p>
      </div>
    )
  }
  return (
    <div class="measure">
      <p>
        <b>{bytes(b.spent)}</b> of the {round(b.bytes + b.saved)} for today are spent
      </p>
      <Meter value={b.spent} of={b.bytes + b.saved} label="Spent of the day’s budget" />
      <p class="detail">
        {round(b.bytes)} are for a day, and {round(b.saved)} are left from days before.{' '}
        {b.ends ? `The day ends ${within(b.ends, now)}, ${moment(b.ends)}.` : 'A day begins with the first byte that is fetched ahead.'} Set by
        MILLPOND_PREFETCH.
      </p>
    </div>
  )
}

/** CostBar divides what was fetched by what became of it, beside the most of its list. */
function CostBar({ of, most }: { of: PrefetchCost; most?: number }) {
  const p = partsOf(of)
  const whole = p.used + p.wasted + p.open
  const length = Math.max(whole, most ?? 0)
  const parts = [
    ['used', p.used],
    ['wasted', p.wasted],
    ['open', p.open],
  ] as const
  const words = { used: 'used', wasted: 'wasted', open: 'not decided yet' }
  let x = 0
  return (
    <svg
      class="bar"
      viewBox="0 0 100 1"
      preserveAspectRatio="none"
      role="img"
      aria-label={parts.map(([name, n]) => `${share(n, whole) || '0 %'} ${words[name]}`).join(', ')}
    >
      <rect class="rest" width="100" height="1" />
      {length > 0 &&
        parts.map(([name, n]) => {
          const at = x
          x += (100 * n) / length
          return <rect key={name} class={name} x={at} width={(100 * n) / length} height="1" />
        })}
    </svg>
  )
}

function Waves({ of: p }: { of: Prefetch }) {
  const most = Math.max(...p.waves.map((w) => partsOf(w.cost).fetched))
  const columns: Column<PrefetchWave>[] = [
    {
      id: 'started',
      name: 'Begun',
      cell: (w) => (
        <>
          {moment(w.started)}
          <small>{w.automatic ? suitesOf(w) + ' changed' : `asked for: ${suitesOf(w) || 'all suites'}`}</small>
          <Shortfall of={w} running={p.running && w === p.waves[0]} />
        </>
      ),
    },
    { id: 'became', name: 'What became of it', cell: (w) => <CostBar of={w.cost} most={most} /> },
    { id: 'files', name: 'Files', number: true, cell: (w) => count(w.cost.files) },
    { id: 'bytes', name: 'Fetched', number: true, cell: (w) => bytes(partsOf(w.cost).fetched) },
    { id: 'peers', name: 'From boxes', number: true, cell: (w) => share(w.cost.from_peers, partsOf(w.cost).fetched) || '–' },
    { id: 'used', name: 'Used', number: true, cell: (w) => bytes(partsOf(w.cost).used) },
    { id: 'wasted', name: 'Wasted', number: true, cell: (w) => bytes(partsOf(w.cost).wasted) },
    { id: 'open', name: 'Not decided', number: true, cell: (w) => bytes(partsOf(w.cost).open) },
  ]
  return <Table label="Prefetches, the last 20" columns={columns} rows={p.waves} name={(w) => String(w.id)} />
}

function suitesOf(w: PrefetchWave): string {
  return w.suites.map((url) => (url.includes('/dists/') ? address(url).suite : url)).join(', ')
}

/** Shortfall is what kept a prefetch from doing all, a line each. */
function Shortfall({ of: w, running }: { of: PrefetchWave; running: boolean }) {
  return (
    <>
      {running && <small>running now</small>}
      {w.files_failed > 0 && <small>{files(w.files_failed)} could not be had</small>}
      {w.no_room > 0 && <small>{files(w.no_room)} found no room</small>}
      {w.no_budget > 0 && <small>{files(w.no_budget)} exceeded the day’s budget</small>}
      {w.error && <small class="fault">{w.error}</small>}
    </>
  )
}
