// Where bytes came from over time, stacked, with a tick at what was saved.
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import { type Bucket, barAt } from './series.ts'
import { useShade } from './theme.ts'
import { round } from './units.ts'

interface Colours {
  store: string
  peer: string
  mirror: string
  saved: string
  quiet: string
  rule: string
}

/** colours resolves the style sheet's for the canvas, which knows no variables. */
function colours(near: Element): Colours {
  const probe = near.appendChild(document.createElement('i'))
  const read = (name: string) => {
    probe.className = 'probe ' + name
    return getComputedStyle(probe).color
  }
  const all = {
    store: read('store'),
    peer: read('peer'),
    mirror: read('mirror'),
    saved: read('saved'),
    quiet: read('quiet'),
    rule: read('rule'),
  }
  probe.remove()
  return all
}

/** stacked are the series of the chart from the top of the stack down. */
export function stacked(all: Bucket[]): uPlot.AlignedData {
  const store = all.map((b) => b.client_bytes_from_store)
  const peers = all.map((b, i) => store[i]! + b.client_bytes_from_peers)
  const mirror = all.map((b, i) => peers[i]! + b.client_bytes_from_mirror)
  return [all.map((b) => b.start / 1000), mirror, peers, store, all.map((b) => (b.client_bytes || b.mirror_bytes ? b.saved_bytes : null))]
}

/** filled is the part of a bucket's width that its bar takes. */
const filled = 0.8

interface Ears {
  onAt(i: number | null): void
  onRange(from: number, to: number): void
}

/** shortest is how many px a drag has at least: less is a click. */
const shortest = 8

function options(c: Colours, width: number, height: number, ears: () => Ears, end: () => number): uPlot.Options {
  const bars = uPlot.paths.bars!({ size: [filled], align: 1 })
  const part = (label: string, fill: string): uPlot.Series => ({ label, fill, width: 0, paths: bars, points: { show: false } })
  const grid = { stroke: c.rule, width: 1 }
  const em = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16
  const font = `${12 * em}px system-ui, sans-serif`
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: shortest } },
    scales: {
      // A bar stands to the right of its start: the last one needs room as well.
      x: { range: (_, min, max) => [min, Math.max(max, end() / 1000)] },
      y: { range: (_, min, max) => [Math.min(0, min * 1.1), max > 0 ? max * 1.06 : 1e6] },
    },
    axes: [
      { stroke: c.quiet, font, grid: { show: false }, ticks: { ...grid, size: 4 }, size: 34 * em, space: 60 * em, values: times },
      {
        stroke: c.quiet,
        font,
        grid,
        ticks: { show: false },
        size: 58 * em,
        splits: (_, __, min, max) => splits(min, max, height / em),
        values: (_, all) => all.map((v) => round(v)),
      },
    ],
    series: [
      {},
      part('mirror', c.mirror),
      part('peers', c.peer),
      part('store', c.store),
      { label: 'saved', stroke: c.saved, width: 2, points: { show: false }, paths: ticks },
    ],
    hooks: {
      setCursor: [
        (u) => {
          const left = u.cursor.left ?? -1
          ears().onAt(left < 0 ? null : barAt(u.data[0], u.posToVal(left, 'x')))
        },
      ],
      setSelect: [
        (u) => {
          const { left, width } = u.select
          if (width < shortest) return
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
          ears().onRange(1000 * u.posToVal(left, 'x'), 1000 * u.posToVal(left + width, 'x'))
        },
      ],
    },
  }
}

// What was saved is a tick across each bar: one line through all of them would
// say something of the times between.
const ticks: uPlot.Series.PathBuilder = (u, series, from, to) => {
  const [x, y] = [u.data[0], u.data[series]!]
  const stroke = new Path2D()
  const width = x.length < 2 ? 40 : u.valToPos(x[1]!, 'x', true) - u.valToPos(x[0]!, 'x', true)
  for (let i = from; i <= to; i++) {
    if (y[i] == null) continue
    const left = u.valToPos(x[i]!, 'x', true)
    const top = Math.round(u.valToPos(y[i]!, 'y', true))
    stroke.moveTo(left - 1, top)
    stroke.lineTo(left + width * filled + 1, top)
  }
  return { stroke }
}

const two = (n: number) => String(n).padStart(2, '0')

function times(_: uPlot, all: number[]): string[] {
  const step = (all[1] ?? 0) - (all[0] ?? 0)
  let before = ''
  return all.map((t) => {
    const d = new Date(t * 1000)
    const date = `${d.getDate()} ${d.toLocaleString('en', { month: 'short' })}`
    if (step < 86400) {
      const time = `${two(d.getHours())}:${two(d.getMinutes())}`
      const text = date !== before && (time === '00:00' || before === '') && step >= 6 * 3600 ? date : time
      before = date
      return text
    }
    return step > 300 * 86400 ? String(d.getFullYear()) : date
  })
}

/** splits are round decimal amounts, one every 60 pixels or so. */
export function splits(min: number, max: number, height: number): number[] {
  const rough = (max - min) / Math.max(2, height / 60)
  const power = 10 ** Math.floor(Math.log10(rough || 1))
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? power
  const all: number[] = []
  for (let v = Math.ceil(min / step) * step; v <= max; v += step) all.push(v)
  return all
}

interface ChartProps {
  data: Bucket[]
  /** end is when the last bar ends, in milliseconds. */
  end: number
  label: string
  /** at is the bucket that is read off; null for none. */
  at: number | null
  onAt(i: number | null): void
  /** onRange is told the span of time that was dragged over. */
  onRange(from: number, to: number): void
}

export function Chart({ data, end, label, at, onAt, onRange }: ChartProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const shade = useShade()
  const ears = useRef<Ears>({ onAt, onRange })
  ears.current = { onAt, onRange }
  const until = useRef(end)
  until.current = end

  useEffect(() => {
    const el = box.current!
    const c = colours(el)
    const u = new uPlot(
      options(
        c,
        el.clientWidth,
        el.clientHeight,
        () => ears.current,
        () => until.current,
      ),
      stacked(data),
      el,
    )
    plot.current = u
    const watch = new ResizeObserver(() => u.setSize({ width: el.clientWidth, height: el.clientHeight }))
    watch.observe(el)
    return () => {
      watch.disconnect()
      u.destroy()
      plot.current = undefined
    }
  }, [shade])

  useEffect(() => plot.current?.setData(stacked(data)), [data, end])

  const key = (e: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key]
    const u = plot.current
    if (e.key === 'Escape') return onAt(null)
    if (!by || !u || data.length === 0) return
    e.preventDefault()
    const i = Math.max(0, Math.min(data.length - 1, (at ?? data.length) + by))
    u.setCursor({ left: u.valToPos(data[i]!.start / 1000, 'x') + 1, top: 0 })
    onAt(i)
  }
  return <div class="chart" ref={box} tabIndex={0} role="img" aria-label={label} onKeyDown={key} onBlur={() => onAt(null)} />
}
