// The first screen: whether it was worth it, and whether the box is well.
import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { Counts, Failures, Overview as Figures, Money, Periods, Series } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { health } from '../health.ts'
import { kept, type Live, type Rates } from '../live.ts'
import { Amount, Meter, Reveal, Trouble } from '../parts.tsx'
import { before, current, midnight, none, type Period, periods, plan, planOf, type Span, total, trend } from '../series.ts'
import { bytes, count, price, rate, share } from '../units.ts'
import { FirstDay, useFirstDay, WillStand } from './firstday.tsx'
import { History, range, useBuckets } from './history.tsx'
import { SiteOverview, SiteSwitch, useSite } from './site.tsx'
import { SuiteList } from './suites.tsx'

export function Overview({ live }: { live: Live }) {
  const [scope, choose] = useState('')
  const boxes = useSite()
  if (scope && boxes) return <SiteOverview boxes={boxes} chosen={scope} choose={choose} />
  return <ThisBox live={live}>{boxes && <SiteSwitch boxes={boxes} chosen={scope} choose={choose} />}</ThisBox>
}

function ThisBox({ live, children }: { live: Live; children: ComponentChildren }) {
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
  const filling = costs(ask.data?.ever)
  return (
    <>
      <section class="saved" aria-labelledby="saved-title">
        <h1 id="saved-title">Saved from the mirrors</h1>
        {children}
        {firstDay ? (
          <FirstDay done={firstDay} />
        ) : (
          <>
            <Figure
              counts={chosen ? total(data) : of(period)}
              phrase={chosen ? `from ${range(p.from, p.to)}` : periods.find((x) => x.id === period)!.phrase}
              filling={filling}
              money={now?.money}
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
        <Glance />
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

/** costs is whether what clients got saved nothing yet. */
const costs = (c: Counts | undefined) => c !== undefined && c.mirror_bytes > 0 && c.saved_bytes <= 0

interface FigureProps {
  counts: Counts | undefined
  phrase: string
  /** filling is whether the box has taken more than it gave, so far. */
  filling: boolean
  money: Money | undefined
  children: ComponentChildren
}

function Figure({ counts, phrase, filling, money, children }: FigureProps) {
  if (filling && counts && costs(counts)) return <Filling counts={counts} phrase={phrase} />
  const part = counts && share(counts.saved_bytes, counts.client_bytes)
  return (
    <div class="figure">
      <p class="large">
        {counts ? <Amount of={counts.saved_bytes} /> : <span class="unit">–</span>}
        {counts && money && money.per_gb > 0 && <span class="money">{price(counts.saved_bytes, money)}</span>}
      </p>
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
function Glance() {
  const o = useAsk<Figures>('overview', 10).data
  const f = o?.last_hour
  const failures = f && f.failed + f.refused + f.missing + f.unkept
  return (
    <dl class="glance">
      <div>
        <dt>Clients</dt>
        <dd>
          <a href="#/clients">{o ? count(o.clients.ever) : '–'}</a>
          {o && <small> {count(o.clients.day)} in 24 h</small>}
        </dd>
      </div>
      <div>
        <dt>Failures, last hour</dt>
        <dd class={failures ? 'some' : undefined}>
          <a href="#/events">{failures === undefined ? '–' : count(failures)}</a>
          {f && <small>{failuresOf(f)}</small>}
        </dd>
      </div>
      <div>
        <dt>Disk</dt>
        <dd>
          <a href="#/packages">{o ? share(o.disk.used, o.disk.effective) || '0\u00a0%' : '–'}</a>
          {o && (
            <small
              title={o.disk.effective < o.disk.limit ? `The disk has not room for the ${bytes(o.disk.limit)} of MILLPOND_CACHE_SIZE` : undefined}
            >
              {' '}
              of {bytes(o.disk.effective)}
            </small>
          )}
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
  const some = parts.filter(([n]) => n > 0)
  return some.length === 0 ? ` of ${count(f.requests)}` : ' ' + some.map(([n, what]) => `${count(n)} ${what}`).join(', ')
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
  const fills = filling && costs(counts)
  return (
    <label class={chosen ? 'chosen' : undefined}>
      <input type="radio" name="period" value={id} checked={chosen} onChange={onChoose} />
      <span class="name">{name}</span>
      <span class="value">{!counts ? '–' : fills ? 'filling' : bytes(counts.saved_bytes)}</span>
      <span class="share">{(!fills && counts && share(counts.saved_bytes, counts.client_bytes)) || '–'}</span>
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
