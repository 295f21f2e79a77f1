// The first screen: whether it was worth it, and whether the box is well.
import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { Counts, EventList, PageAccount, Periods, Series, Summary } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { health } from '../health.ts'
import { kept, type Live, type Rates } from '../live.ts'
import { Amount, Meter, Reveal, Trouble } from '../parts.tsx'
import { before, current, midnight, none, type Period, periods, plan, planOf, type Span, total, trend } from '../series.ts'
import { bytes, count, rate, share } from '../units.ts'
import { FirstDay, useFirstDay, WillStand } from './firstday.tsx'
import { History, range, useBuckets } from './history.tsx'
import { SuiteList } from './suites.tsx'

export function Overview({ live }: { live: Live }) {
  const [period, choosePeriod] = useState<Period>('week')
  const [chosen, choose] = useState<Span>()
  const today = midnight(Date.now()).toISOString()
  const ask = useAsk<Periods>('periods?day=' + encodeURIComponent(today), 60)
  const now = live.tick?.summary
  const of = (p: Period) => ask.data && current(ask.data, p, now)
  const firstDay = useFirstDay(live)
  const first = useBeginning(now?.since)
  // The plan moves with the quarter of an hour, so that the request does too.
  const quarter = Math.floor(Date.now() / 900_000)
  const p = useMemo(() => (chosen ? planOf(chosen, Date.now()) : plan(period, Date.now(), first)), [period, chosen, first, quarter])
  const data = useBuckets(p)
  const filling = (ask.data?.ever.saved_bytes ?? 0) < 0
  return (
    <>
      <section class="saved" aria-labelledby="saved-title">
        <h1 id="saved-title">Saved from the mirrors</h1>
        {firstDay ? (
          <FirstDay done={firstDay} />
        ) : (
          <>
            <Figure
              counts={chosen ? total(data) : of(period)}
              phrase={chosen ? `from ${range(p.from, p.to)}` : periods.find((x) => x.id === period)!.phrase}
              filling={filling}
            >
              {!chosen && <Trend period={period} saved={of(period)?.saved_bytes} first={first} />}
            </Figure>
            <fieldset class="periods">
              <legend>Period</legend>
              {periods.map((x) => (
                <PeriodChoice
                  key={x.id}
                  name={x.name}
                  counts={of(x.id)}
                  chosen={!chosen && x.id === period}
                  filling={filling}
                  onChoose={() => {
                    choose(undefined)
                    choosePeriod(x.id)
                  }}
                  id={x.id}
                />
              ))}
            </fieldset>
          </>
        )}
        <Trouble error={live.connected ? ask.error : undefined} />
      </section>
      <aside class="state" aria-label="State of the box">
        <HealthCard live={live} />
        <Glance summary={now} />
        <Now rates={live.rates} />
      </aside>
      {firstDay ? <WillStand /> : <History plan={p} data={data} chosen={chosen} choose={choose} />}
      <SuiteList />
    </>
  )
}

/** useBeginning is when the first bytes came, as far as a chart may need it:
 * of a box older than a month, when it began. */
function useBeginning(since: string | undefined): number {
  const began = since ? Date.parse(since) : Date.now() - 28 * 86_400_000
  const from = Math.max(began - 3_600_000, Date.now() - 32 * 86_400_000)
  const hours = useAsk<Series>(`series?step=hour&from=${encodeURIComponent(new Date(Math.floor(from / 3_600_000) * 3_600_000).toISOString())}`)
  const point = hours.data?.points[0]
  return useMemo(
    () => (!since || Date.now() - began > 31 * 86_400_000 || !point ? began : Math.max(began, Date.parse(point.start))),
    [since, point?.start],
  )
}

interface FigureProps {
  counts: Counts | undefined
  phrase: string
  /** filling is whether the box has taken more than it gave, so far. */
  filling: boolean
  children: ComponentChildren
}

function Figure({ counts, phrase, filling, children }: FigureProps) {
  if (filling && counts && counts.saved_bytes < 0) return <Filling counts={counts} phrase={phrase} />
  const part = counts && share(counts.saved_bytes, counts.client_bytes)
  return (
    <div class="figure">
      <p class="large">{counts ? <Amount of={counts.saved_bytes} /> : <span class="unit">–</span>}</p>
      <p class="what">
        {!counts ? '\u00a0' : part ? `${part} of the ${bytes(counts.client_bytes)} that clients got ${phrase}.` : `Clients got nothing ${phrase}.`}{' '}
        <Definition />
      </p>
      {children}
      <Requests counts={counts} />
    </div>
  )
}

/** Filling stands in place of a figure that would be negative of every new box. */
function Filling({ counts: c, phrase }: { counts: Counts; phrase: string }) {
  return (
    <div class="figure">
      <p class="large word">Filling</p>
      <p class="what">
        The first copy costs, savings begin with the second client: {phrase}, {bytes(c.mirror_bytes)} came from mirrors, and clients got{' '}
        {bytes(c.client_bytes)}, {bytes(c.client_bytes - c.client_bytes_from_mirror)} of it without them. <Definition />
      </p>
      <Requests counts={c} />
    </div>
  )
}

function Requests({ counts }: { counts: Counts | undefined }) {
  return (
    <p class="what quiet">
      {counts ? (
        <>
          Mirrors got {count(counts.mirror_requests)} {counts.mirror_requests === 1 ? 'request' : 'requests'}; {count(counts.revalidations_avoided)}{' '}
          {counts.revalidations_avoided === 1 ? 'revalidation was' : 'revalidations were'} avoided. <a href="#/mirrors">By host</a>
        </>
      ) : (
        '\u00a0'
      )}
    </p>
  )
}

/** Trend compares a period with the one before. */
function Trend({ period, saved, first }: { period: Period; saved: number | undefined; first: number }) {
  const now = useNow(900)
  const b = before(period, now)
  const span = b ?? { step: 'day', from: now, to: now }
  const query = `series?step=${span.step}&from=${encodeURIComponent(new Date(span.from).toISOString())}&to=${encodeURIComponent(new Date(span.to).toISOString())}`
  const points = useAsk<Series>(query).data?.points
  // A box that was not there for all of it has nothing to compare with.
  const known = b && points && first <= b.from && saved !== undefined
  const t =
    known &&
    trend(
      saved,
      points.reduce((n, p) => n + p.saved_bytes, none().saved_bytes),
    )
  return (
    <p class="what trend">
      {t ? (
        <>
          <i class={t.up ? 'up' : 'down'} aria-hidden="true" />
          {t.text} {b!.phrase}
        </>
      ) : (
        '\u00a0'
      )}
    </p>
  )
}

/** Glance is what shows at once whether the box is used, has room, and serves. */
function Glance({ summary: s }: { summary: Summary | undefined }) {
  const clients = useAsk<PageAccount>('clients?limit=1', 15).data
  const events = useAsk<EventList>('events?limit=200', 15).data
  const now = useNow(30)
  const failures = events?.events.filter((e) => e.level !== 'info' && now - Date.parse(e.time) < 3_600_000).length
  return (
    <dl class="glance">
      <div>
        <dt>Clients</dt>
        <dd>
          <a href="#/clients">{clients ? count(clients.total) : '–'}</a>
        </dd>
      </div>
      <div>
        <dt>Failures, last hour</dt>
        <dd class={failures ? 'some' : undefined}>
          <a href="#/events">{failures === undefined ? '–' : count(failures)}</a>
        </dd>
      </div>
      <div>
        <dt>Disk</dt>
        <dd>
          <a href="#/packages">{s ? share(s.blob_bytes, s.quota_bytes) || '0\u00a0%' : '–'}</a>
          {s && <small> of {bytes(s.quota_bytes)}</small>}
        </dd>
        <Meter value={s?.blob_bytes ?? 0} of={s?.quota_bytes ?? 0} label="Held, of what may be held" />
      </div>
    </dl>
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
  filling: boolean
  onChoose(): void
}

function PeriodChoice({ id, name, counts, chosen, filling, onChoose }: ChoiceProps) {
  const costs = filling && counts && counts.saved_bytes < 0
  return (
    <label class={chosen ? 'chosen' : undefined}>
      <input type="radio" name="period" value={id} checked={chosen} onChange={onChoose} />
      <span class="name">{name}</span>
      <span class="value">{!counts ? '–' : costs ? 'filling' : bytes(counts.saved_bytes)}</span>
      <span class="share">{(!costs && counts && share(counts.saved_bytes, counts.client_bytes)) || '–'}</span>
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
