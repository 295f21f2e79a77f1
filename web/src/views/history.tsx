// The chart of what came from where, of a period or of any span of time.
import { useEffect, useMemo, useState } from 'preact/hooks'
import type { Counts, Series } from '../api.ts'
import { useAsk } from '../ask.ts'
import { type Bucket, buckets, type Plan, type Span } from '../series.ts'
import { bytes, day, moment } from '../units.ts'

/** useChart loads the chart once the figures have been painted. */
function useChart() {
  const [loaded, set] = useState<typeof import('../chart.tsx')>()
  useEffect(() => void import('../chart.tsx').then(set), [])
  return loaded?.Chart
}

/** useBuckets are the figures of a plan, a bar each; query asks for them. */
export function useBuckets(p: Plan, query: string): Bucket[] {
  const points = useAsk<Series>(query, 60).data?.points
  return useMemo(() => buckets(p, points ?? []), [p, points])
}

interface HistoryProps {
  plan: Plan
  data: Bucket[]
  /** chosen is what was chosen in place of a period. */
  chosen: Span | undefined
  choose(s: Span | undefined): void
}

export function History({ plan, data, chosen, choose }: HistoryProps) {
  const Chart = useChart()
  const [at, setAt] = useState<number | null>(null)
  useEffect(() => setAt(null), [plan])
  const b = at === null ? undefined : data[at]
  return (
    <section class="history" aria-labelledby="history-title">
      <div class="head">
        <h2 id="history-title" class="label">
          Where bytes came from
        </h2>
        <p aria-live="polite">{b ? range(b.start, plan.next(b.start)) : range(plan.from, plan.to)}</p>
        <RangeForm key={`${chosen?.from}`} plan={plan} chosen={chosen} choose={choose} />
      </div>
      <Readout data={data} of={b} />
      <div class="frame">
        {Chart ? (
          <Chart
            data={data}
            end={plan.next(data.at(-1)?.start ?? plan.from)}
            at={at}
            onAt={setAt}
            onRange={(from, to) => choose({ from, to: Math.min(to, Date.now()) })}
            label="Bytes sent to clients over time, by where they came from. Left and right arrow keys read off single bars. Drag to choose a span of time."
          />
        ) : (
          <div class="chart" />
        )}
      </div>
    </section>
  )
}

const local = (t: number) => moment(t).replace(' ', 'T')

/** RangeForm is for those who do not drag. */
function RangeForm({ plan, chosen, choose }: Omit<HistoryProps, 'data'>) {
  const submit = (e: Event) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    const [from, to] = [Date.parse(String(form.get('from'))), Date.parse(String(form.get('to')))]
    if (from < to) choose({ from, to })
  }
  return (
    <div class="range">
      {chosen ? (
        <button type="button" onClick={() => choose(undefined)}>
          Back to the period
        </button>
      ) : (
        <span class="quiet hint">Drag over the chart to see any span of time</span>
      )}
      <details>
        <summary>From … to</summary>
        <form onSubmit={submit}>
          <label>
            <span>From</span>
            <input type="datetime-local" name="from" required defaultValue={local(plan.from)} />
          </label>
          <label>
            <span>To</span>
            <input type="datetime-local" name="to" required defaultValue={local(Math.min(plan.to, Date.now()) + 59_999)} />
          </label>
          <button type="submit">Show it</button>
        </form>
      </details>
    </div>
  )
}

/** Readout is the chart’s legend, and the figures of one bar or of all. */
function Readout({ data, of }: { data: Bucket[]; of: Bucket | undefined }) {
  const sum = (read: (b: Counts) => number) => (of ? read(of) : data.reduce((n, x) => n + read(x), 0))
  const item = (name: string, cls: string, read: (b: Counts) => number) => (
    <div class={cls}>
      <dt>
        <i aria-hidden="true" />
        {name}
      </dt>
      <dd>{bytes(sum(read))}</dd>
    </div>
  )
  return (
    <div class="readout" aria-live="polite">
      <dl>
        {item('Store', 'store', (x) => x.client_bytes_from_store)}
        {item('Peers', 'peer', (x) => x.client_bytes_from_peers)}
        {item('Mirror', 'mirror', (x) => x.client_bytes_from_mirror)}
        {item('Saved', 'saved', (x) => x.saved_bytes)}
      </dl>
    </div>
  )
}

/** range is a span of time in words, as exactly as it needs. */
export function range(from: number, to: number): string {
  const whole = (t: number) => new Date(t).getHours() === 0 && new Date(t).getMinutes() === 0
  if (whole(from) && whole(to)) return day(from) === day(to - 1) ? day(from) : `${day(from)} to ${day(to - 1)}`
  return `${moment(from)} to ${day(from) === day(to) ? moment(to).slice(-5) : moment(to)}`
}
