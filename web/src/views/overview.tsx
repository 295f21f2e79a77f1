import { useEffect, useMemo, useState } from 'preact/hooks'
import type { Counts, Periods, Point } from '../api.ts'
import { useAsk } from '../ask.ts'
import { health } from '../health.ts'
import { kept, type Live, type Rates } from '../live.ts'
import { Amount, Reveal, Trouble } from '../parts.tsx'
import { type Bucket, buckets, current, midnight, type Period, type Plan, periods, plan } from '../series.ts'
import { bytes, count, day, moment, rate, share } from '../units.ts'
import { SuiteList } from './suites.tsx'

export function Overview({ live }: { live: Live }) {
  const [period, choose] = useState<Period>('week')
  const today = midnight(Date.now()).toISOString()
  const ask = useAsk<Periods>('periods?day=' + encodeURIComponent(today), 60)
  const now = live.tick?.summary
  const of = (p: Period) => ask.data && current(ask.data, p, now)
  const counts = of(period)
  const unused = now !== undefined && now.requests === 0
  return (
    <>
      <section class="saved" aria-labelledby="saved-title">
        <h1 id="saved-title">Saved from the mirrors</h1>
        <Figure counts={counts} phrase={periods.find((p) => p.id === period)!.phrase} unused={unused} />
        <fieldset class="periods">
          <legend>Period</legend>
          {periods.map((p) => (
            <PeriodChoice key={p.id} name={p.name} counts={of(p.id)} chosen={p.id === period} onChoose={() => choose(p.id)} id={p.id} />
          ))}
        </fieldset>
        <Trouble error={live.connected ? ask.error : undefined} />
      </section>
      <aside class="state" aria-label="State of the box">
        <HealthCard live={live} />
        <Now rates={live.rates} />
      </aside>
      <History period={period} since={now?.since} unused={unused} />
      <SuiteList />
    </>
  )
}

function Figure({ counts, phrase, unused }: { counts: Counts | undefined; phrase: string; unused: boolean }) {
  const part = counts && share(counts.saved_bytes, counts.client_bytes)
  return (
    <div class="figure">
      <p class="large">{counts ? <Amount of={counts.saved_bytes} /> : <span class="unit">–</span>}</p>
      <p class="what">
        {!counts
          ? '\u00a0'
          : unused
            ? 'No client has used this box yet.'
            : part
              ? `${part} of the ${bytes(counts.client_bytes)} that clients got ${phrase}.`
              : `Clients got nothing ${phrase}.`}{' '}
        {unused ? <a href="#/setup">Set up a client</a> : <Definition />}
      </p>
      <p class="what quiet">
        {counts && !unused ? (
          <>
            Mirrors got {count(counts.mirror_requests)} {counts.mirror_requests === 1 ? 'request' : 'requests'}; {count(counts.revalidations_avoided)}{' '}
            {counts.revalidations_avoided === 1 ? 'revalidation was' : 'revalidations were'} avoided. <a href="#/mirrors">By host</a>
          </>
        ) : (
          '\u00a0'
        )}
      </p>
    </div>
  )
}

function Definition() {
  return (
    <Reveal label="What counts as saved?" title="What counts as saved">
      <p class="formula">saved = sent to clients − taken from mirrors</p>
      <ul>
        <li>
          <b>Sent to clients</b> are the body bytes that apt got from this box, whether they came from its store, from other boxes or straight from a
          mirror.
        </li>
        <li>
          <b>Taken from mirrors</b> are all body bytes that any mirror sent to this box, for whatever reason: also for files fetched ahead, given up,
          or fetched twice.
        </li>
        <li>Bytes in tunnels (https that the box cannot read) are on neither side.</li>
      </ul>
      <p>
        Each byte is counted once, in the ledger, when it is written. The figure is negative while the box has taken more than it gave. 1 GB is 10⁹
        bytes.
      </p>
    </Reveal>
  )
}

interface ChoiceProps {
  id: string
  name: string
  counts: Counts | undefined
  chosen: boolean
  onChoose(): void
}

function PeriodChoice({ id, name, counts, chosen, onChoose }: ChoiceProps) {
  return (
    <label class={chosen ? 'chosen' : undefined}>
      <input type="radio" name="period" value={id} checked={chosen} onChange={onChoose} />
      <span class="name">{name}</span>
      <span class="value">{counts ? bytes(counts.saved_bytes) : '–'}</span>
      <span class="share">{(counts && share(counts.saved_bytes, counts.client_bytes)) || '–'}</span>
    </label>
  )
}

function HealthCard({ live }: { live: Live }) {
  const h = health(live)
  return (
    <section class={'health ' + h.tone} aria-labelledby="health-title">
      <h2 id="health-title" class="label">
        Health
      </h2>
      <p class="word" role="status">
        <i aria-hidden="true" />
        {h.word}
      </p>
      <p class="reason">
        {h.reason} {h.more > 0 && <a href="#/events">{h.more} more</a>}
      </p>
    </section>
  )
}

function Now({ rates }: { rates: Rates[] }) {
  const last = rates.at(-1)
  return (
    <section class="now" aria-labelledby="now-title">
      <h2 id="now-title" class="label">
        Now
      </h2>
      <dl>
        <div>
          <dt>To clients</dt>
          <dd>{rate(last?.clients ?? 0)}</dd>
        </div>
        <div>
          <dt>From mirrors</dt>
          <dd>{rate(last?.mirror ?? 0)}</dd>
        </div>
        <div>
          <dt>From peers</dt>
          <dd>{rate(last?.peers ?? 0)}</dd>
        </div>
      </dl>
      <Spark rates={rates} />
    </section>
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

/** useChart loads the chart once the figures have been painted. */
function useChart() {
  const [loaded, set] = useState<typeof import('../chart.tsx')>()
  useEffect(() => void import('../chart.tsx').then(set), [])
  return loaded?.Chart
}

function History({ period, since, unused }: { period: Period; since: string | undefined; unused: boolean }) {
  const Chart = useChart()
  const [at, setAt] = useState<number | null>(null)
  // The plan moves with the quarter of an hour, so that the request does too.
  const quarter = Math.floor(Date.now() / 900_000)
  const p = useMemo(() => plan(period, Date.now(), since ? Date.parse(since) : Date.now()), [period, since, quarter])
  const query = `series?step=${p.step}&from=${encodeURIComponent(new Date(p.from).toISOString())}&to=${encodeURIComponent(new Date(p.to).toISOString())}`
  const ask = useAsk<{ points: Point[] }>(query, 60)
  const data = useMemo(() => buckets(p, ask.data?.points ?? []), [p, ask.data])
  useEffect(() => setAt(null), [period])
  return (
    <section class="history" aria-labelledby="history-title">
      <h2 id="history-title" class="label">
        Where bytes came from
      </h2>
      <Readout data={data} at={at} plan={p} />
      <div class="frame">
        {Chart ? (
          <Chart
            data={data}
            at={at}
            onAt={setAt}
            label="Bytes sent to clients over time, by where they came from. Left and right arrow keys read off single bars."
          />
        ) : (
          <div class="chart" />
        )}
        {unused && <p class="overlay">The first bar appears with the first apt-get update through this box.</p>}
      </div>
    </section>
  )
}

/** Readout is the chart's legend, and the figures of one bar or of all. */
function Readout({ data, at, plan }: { data: Bucket[]; at: number | null; plan: Plan }) {
  const b = at === null ? undefined : data[at]
  const sum = (read: (b: Bucket) => number) => (b ? read(b) : data.reduce((n, x) => n + read(x), 0))
  const title = b ? range(b.start, plan.next(b.start)) : 'Whole period'
  const item = (name: string, cls: string, n: number) => (
    <div class={cls}>
      <dt>
        <i aria-hidden="true" />
        {name}
      </dt>
      <dd>{bytes(n)}</dd>
    </div>
  )
  return (
    <div class="readout" aria-live="polite">
      <p>{title}</p>
      <dl>
        {item(
          'Store',
          'store',
          sum((x) => x.client_bytes_from_store),
        )}
        {item(
          'Peers',
          'peer',
          sum((x) => x.client_bytes_from_peers),
        )}
        {item(
          'Mirror',
          'mirror',
          sum((x) => x.client_bytes_from_mirror),
        )}
        {item(
          'Saved',
          'saved',
          sum((x) => x.saved_bytes),
        )}
      </dl>
    </div>
  )
}

function range(from: number, to: number): string {
  const hours = (to - from) / 3_600_000
  if (hours > 26) return `${day(from)} to ${day(to - 1)}`
  if (hours > 22) return day(from)
  return `${moment(from)} to ${moment(to).slice(-5)}`
}
