// Whether it was worth it: what was saved in a period or any span of time, by
// this box, by another one, or by all together.
import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { Counts, Periods, Price, Series, Summary } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { Amount, Reveal, Trouble } from '../parts.tsx'
import { before, current, midnight, none, type Period, periods, plan, planOf, type Span, total, trend } from '../series.ts'
import { bytes, count, price, share } from '../units.ts'
import { History, range, useBuckets } from './history.tsx'

/** Source is whose figures are shown. */
export interface Source {
  /** path begins those of periods and series: '' for this box, site/ for others. */
  path: string
  /** query is what these ask for more. */
  query: string
  /** now has the totals, where they come every second. */
  now?: Summary | undefined
  since: string | undefined
  /** cost is what a gigabyte from a mirror costs. */
  cost?: Price | undefined
}

const seriesOf = (s: Source, step: string, from: number, to?: number) =>
  `${s.path}series?step=${step}&from=${encodeURIComponent(new Date(from).toISOString())}` +
  (to === undefined ? '' : `&to=${encodeURIComponent(new Date(to).toISOString())}`) +
  s.query

interface Worth {
  /** figures are what was saved, and the choice of a period. */
  figures: ComponentChildren
  history: ComponentChildren
}

export function useWorth(source: Source): Worth {
  const [period, choosePeriod] = useState<Period>('week')
  const [chosen, choose] = useState<Span>()
  const today = midnight(Date.now()).toISOString()
  const ask = useAsk<Periods>(`${source.path}periods?day=${encodeURIComponent(today)}${source.query}`, 60)
  const of = (p: Period) => ask.data && current(ask.data, p, source.now)
  const first = useBeginning(source)
  // The plan moves with the quarter of an hour, so that the request does too.
  const quarter = Math.floor(Date.now() / 900_000)
  const p = useMemo(() => (chosen ? planOf(chosen, Date.now()) : plan(period, Date.now(), first)), [period, chosen, first, quarter])
  const data = useBuckets(p, seriesOf(source, p.step, p.from, p.to))
  const filling = costs(ask.data?.ever)
  const figures = (
    <>
      <Figure
        counts={chosen ? total(data) : of(period)}
        phrase={chosen ? `from ${range(p.from, p.to)}` : periods.find((x) => x.id === period)!.phrase}
        filling={filling}
        cost={source.cost}
      >
        {!chosen && <Trend source={source} period={period} saved={of(period)?.saved_bytes} first={first} />}
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
      <Trouble error={ask.error} />
    </>
  )
  return { figures, history: <History plan={p} data={data} chosen={chosen} choose={choose} /> }
}

/** useBeginning is when the first bytes came, as far as a chart may need it:
 * of a box older than a month, when it began. */
function useBeginning(source: Source): number {
  const { since } = source
  const began = since ? Date.parse(since) : Date.now() - 28 * 86_400_000
  const from = Math.max(began - 3_600_000, Date.now() - 32 * 86_400_000)
  const hours = useAsk<Series>(seriesOf(source, 'hour', Math.floor(from / 3_600_000) * 3_600_000))
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
  cost: Price | undefined
  children: ComponentChildren
}

function Figure({ counts, phrase, filling, cost, children }: FigureProps) {
  if (filling && counts && costs(counts)) return <Filling counts={counts} phrase={phrase} />
  const part = counts && share(counts.saved_bytes, counts.client_bytes)
  return (
    <div class="figure">
      <p class="large">
        {counts ? <Amount of={counts.saved_bytes} /> : <span class="unit">–</span>}
        {counts && cost && cost.per_gb > 0 && <span class="money">{price(counts.saved_bytes, cost)}</span>}
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

interface TrendProps {
  source: Source
  period: Period
  saved: number | undefined
  first: number
}

/** Trend compares a period with the one before. */
function Trend({ source, period, saved, first }: TrendProps) {
  const now = useNow(900)
  const b = before(period, now)
  const span = b ?? { step: 'day', from: now, to: now }
  const query = seriesOf(source, span.step, span.from, span.to)
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
