// The first screen: whether it was worth it, and whether the box is well.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Failures, Overview as Figures } from '../api.ts'
import { useAsk } from '../ask.ts'
import { health } from '../health.ts'
import { kept, type Live, type Rates } from '../live.ts'
import { Meter } from '../parts.tsx'
import { bytes, count, share } from '../units.ts'
import { FirstDay, useFirstDay, WillStand } from './firstday.tsx'
import { RunningJobs } from './jobs.tsx'
import { SiteOverview, SiteSwitch, useSite } from './site.tsx'
import { HealthCard, Now } from './state.tsx'
import { SuiteList } from './suites.tsx'
import { useWorth } from './worth.tsx'

export function Overview({ live }: { live: Live }) {
  const [scope, choose] = useState('')
  const boxes = useSite()
  if (scope && boxes) return <SiteOverview boxes={boxes} chosen={scope} choose={choose} />
  return <ThisBox live={live}>{boxes && <SiteSwitch boxes={boxes} chosen={scope} choose={choose} />}</ThisBox>
}

function ThisBox({ live, children }: { live: Live; children: ComponentChildren }) {
  const now = live.tick?.summary
  const firstDay = useFirstDay(live)
  const worth = useWorth({ path: '', query: '', now, since: now?.since, cost: now?.money })
  return (
    <>
      <section class="saved" aria-labelledby="saved-title">
        <h1 id="saved-title">{firstDay ? 'Getting started' : 'Saved from the mirrors'}</h1>
        {children}
        {firstDay ? <FirstDay done={firstDay} /> : worth.figures}
      </section>
      <aside class="state" aria-label="State of the box">
        <BoxHealth live={live} />
        <Glance />
        <RunningJobs />
        <BoxNow rates={live.rates} />
      </aside>
      {firstDay ? <WillStand /> : worth.history}
      <SuiteList />
    </>
  )
}

/** soon keeps the room of a line that is to come. */
const soon = '\u00a0'

/** Glance is what shows at once whether the box is used, has room, and serves. */
function Glance() {
  const o = useAsk<Figures>('overview', 5).data
  const f = o?.last_hour
  const failures = f && f.failed + f.refused + f.missing + f.unkept
  return (
    <dl class="glance">
      <div>
        <dt>Clients</dt>
        <dd>
          <a href="#/clients">{o ? count(o.clients.ever) : '–'}</a>
          <small>{o ? `${count(o.clients.day)} in 24 h` : soon}</small>
        </dd>
      </div>
      <div>
        <dt>Failures, last hour</dt>
        <dd class={failures ? 'some' : undefined}>
          <a href="#/events" title={f && failuresOf(f)}>
            {failures === undefined ? '–' : count(failures)}
          </a>
          <small>{f ? `of ${count(f.requests)} requests` : soon}</small>
        </dd>
      </div>
      <div>
        <dt>Disk</dt>
        <dd>
          <a href="#/packages">{o ? share(o.disk.used, o.disk.effective) || '0\u00a0%' : '–'}</a>
          <small
            title={o && o.disk.effective < o.disk.limit ? `The disk has not room for the ${bytes(o.disk.limit)} of MILLPOND_CACHE_SIZE` : undefined}
          >
            {o ? `of ${bytes(o.disk.effective)}` : soon}
          </small>
          <Meter value={o?.disk.used ?? 0} of={o?.disk.effective ?? 0} label="Used, of what may be used" />
        </dd>
      </div>
    </dl>
  )
}

/** failuresOf says which failures there were. */
function failuresOf(f: Failures): string {
  const parts = [
    [f.failed, 'failed'],
    [f.refused, 'refused'],
    [f.missing, 'not at the mirror'],
    [f.unkept, 'not kept'],
  ] as const
  return parts
    .filter(([n]) => n > 0)
    .map(([n, what]) => `${count(n)} ${what}`)
    .join(', ')
}

function BoxHealth({ live }: { live: Live }) {
  const h = health(live)
  return (
    <HealthCard tone={h.tone} word={h.word}>
      {h.reason} {h.more > 0 && <a href="#/events">{h.more} more</a>}
    </HealthCard>
  )
}

function BoxNow({ rates }: { rates: Rates[] }) {
  const last = rates.at(-1)
  return (
    <Now clients={last?.clients ?? 0} mirrors={last?.mirror ?? 0} peers={last?.peers ?? 0}>
      <Spark rates={rates} />
    </Now>
  )
}

/** Spark draws the last minute: to clients as an area, from mirrors as a line. */
function Spark({ rates }: { rates: Rates[] }) {
  const top = Math.max(1000, ...rates.map((r) => Math.max(r.clients, r.mirror)))
  const line = (read: (r: Rates) => number) => rates.map((r, i) => `${kept - rates.length + i},${(30 - (29 * read(r)) / top).toFixed(2)}`).join(' ')
  const first = kept - rates.length
  return (
    <svg class="spark" viewBox={`0 0 ${kept - 1} 30`} preserveAspectRatio="none" aria-hidden="true">
      <line class="base" x1="0" x2={kept - 1} y1="30" y2="30" />
      {rates.length > 1 && (
        <>
          <polygon class="clients" points={`${first},30 ${line((r) => r.clients)} ${kept - 1},30`} />
          <polyline class="mirror" points={line((r) => r.mirror)} />
        </>
      )}
    </svg>
  )
}
