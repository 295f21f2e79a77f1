// The drawing of who is connected to whom, and the same in words.
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Graph, GraphLink, GraphNode } from '../api.ts'
import { useAsk } from '../ask.ts'
import { Trouble } from '../parts.tsx'
import { drawn, linksOf, type Ring, ring, type Spot } from '../ring.ts'
import { boxName, count, milliseconds, short } from '../units.ts'

export function SwarmGraph() {
  const ask = useAsk<Graph>('swarm/graph', 15)
  const graph = ask.data
  return (
    <section class="section" aria-labelledby="graph">
      <h2 id="graph">Who is connected to whom</h2>
      <Trouble error={ask.error} />
      {!graph ? (
        <div class="graph" />
      ) : graph.nodes.length > drawn ? (
        <p class="quiet">
          {count(graph.nodes.length)} boxes are too many to draw; up to {drawn} are drawn. The table has those that this box is connected to.
        </p>
      ) : (
        <Drawing graph={graph} />
      )}
      {graph && <InWords graph={graph} />}
    </section>
  )
}

const ownLabel = 'this box'
const name = (n: GraphNode | undefined, id: string) => (n?.self ? ownLabel : n ? boxName(n) : short(id))

/** useWidth is the width of an element, in px at the usual size of letters. */
function useWidth() {
  const box = useRef<HTMLDivElement>(null)
  const [width, set] = useState(0)
  useLayoutEffect(() => {
    const em = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16
    const measure = () => set(Math.floor(box.current!.clientWidth / em()))
    measure()
    const watch = new ResizeObserver(measure)
    watch.observe(box.current!)
    return () => watch.disconnect()
  }, [])
  return [box, width] as const
}

function Drawing({ graph }: { graph: Graph }) {
  const [box, width] = useWidth()
  const [chosen, choose] = useState('')
  const who = graph.nodes.map((n) => [n.id, n.nearby, n.given_name]).join()
  // The places are the same while the same boxes are there.
  const layout = useMemo(() => (width > 0 ? ring(graph.nodes, width) : undefined), [who, width])
  const node = graph.nodes.find((n) => n.id === chosen)
  return (
    <div class="graph" ref={box}>
      {layout && <Picture graph={graph} layout={layout} chosen={node?.id ?? ''} choose={choose} />}
      <p class="said text-small" aria-live="polite">
        {node ? describe(graph, node, name(node, node.id)) : 'Choose a box to see its links alone; the arrow keys go around.'}
      </p>
      <Key />
    </div>
  )
}

/** describe puts in words what is drawn of a box; label is its name. */
function describe(graph: Graph, n: GraphNode, label: string): string {
  const links = linksOf(graph, n.id)
  const direct = links.filter((l) => l.path === 'direct').length
  const nearest = links.find((l) => l.rtt_ms > 0)
  return [
    n.self
      ? label === ownLabel
        ? 'This box'
        : `This box, ${label}`
      : `Box ${label}${n.nearby ? ', of this site' : ''}${n.connected ? '' : ', not connected to this box'}`,
    `: ${links.length === 1 ? '1 link' : links.length + ' links'}, ${direct} direct and ${links.length - direct} relayed`,
    nearest
      ? `; nearest ${name(
          graph.nodes.find((m) => m.id === nearest.other),
          nearest.other,
        )}, ${milliseconds(nearest.rtt_ms)}`
      : '',
    graph.silent.includes(n.id) ? '. It did not report its links' : '',
    '.',
  ].join('')
}

/** dense is from how many links on those of other boxes are drawn fainter. */
const dense = 150

interface PictureProps {
  graph: Graph
  layout: Ring
  chosen: string
  choose(id: string): void
}

function Picture({ graph, layout, chosen, choose }: PictureProps) {
  const svg = useRef<SVGSVGElement>(null)
  const at = new Map(layout.spots.map((s) => [s.node.id, s]))
  const self = layout.spots.find((s) => s.node.self)?.node.id
  const entry = chosen || self || ''
  const key = (e: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[e.key]
    if (e.key === 'Escape') return choose('')
    if (!by) return
    e.preventDefault()
    const i = layout.spots.findIndex((s) => s.node.id === entry)
    const next = layout.spots[(i + by + layout.spots.length) % layout.spots.length]!
    choose(next.node.id)
    svg.current?.querySelector<SVGElement>(`[data-id="${next.node.id}"]`)?.focus()
  }
  const ofSelf = (l: GraphLink) => l.a === self || l.b === self
  // Those of this box come last, above the others.
  const links = graph.links.filter((l) => at.has(l.a) && at.has(l.b)).sort((l, m) => Number(ofSelf(l)) - Number(ofSelf(m)))
  const top = layout.spots.find((s) => s.node.self)
  return (
    <svg
      ref={svg}
      viewBox={`0 0 ${layout.width} ${layout.height}`}
      role="group"
      aria-label={`${graph.nodes.length} boxes and ${graph.links.length} links between them`}
      class={[chosen && 'picked', links.length > dense && 'dense'].filter(Boolean).join(' ')}
      onKeyDown={key}
    >
      {layout.site && (
        <g aria-hidden="true">
          <path class="site-outline edge" d={layout.site} />
          <path class="site-outline" d={layout.site} />
          <text class="caption" x={top!.x} y={top!.y - 20}>
            this site
          </text>
        </g>
      )}
      {links.map((l) => (
        <Line key={l.a + l.b} link={l} a={at.get(l.a)!} b={at.get(l.b)!} own={ofSelf(l)} on={l.a === chosen || l.b === chosen} />
      ))}
      {layout.spots.length <= 12 &&
        links
          .filter((l) => (chosen ? l.a === chosen || l.b === chosen : ofSelf(l)))
          .map((l) => <Trip key={l.a + l.b} link={l} a={at.get(l.a)!} b={at.get(l.b)!} />)}
      {layout.spots.map((s) => (
        <Node
          key={s.node.id}
          spot={s}
          size={layout.label}
          silent={graph.silent.includes(s.node.id)}
          entry={s.node.id === entry}
          on={s.node.id === chosen}
          graph={graph}
          choose={choose}
        />
      ))}
    </svg>
  )
}

interface LineProps {
  link: GraphLink
  a: Spot
  b: Spot
}

function Line({ link, a, b, own, on }: LineProps & { own: boolean; on: boolean }) {
  return <line class={[link.path, own && 'own', on && 'related'].filter(Boolean).join(' ')} x1={a.x} y1={a.y} x2={b.x} y2={b.y} />
}

/** Trip is the round trip of a link, written on it away from this box, where
 * many meet. */
function Trip({ link, a, b }: LineProps) {
  const at = a.node.self ? 0.62 : b.node.self ? 0.38 : 0.5
  return (
    <text class="caption trip" x={a.x + (b.x - a.x) * at} y={a.y + (b.y - a.y) * at + 4} aria-hidden="true">
      {milliseconds(link.rtt_ms)}
    </text>
  )
}

interface NodeProps {
  spot: Spot
  size: Ring['label']
  silent: boolean
  entry: boolean
  on: boolean
  graph: Graph
  choose(id: string): void
}

function Node({ spot: { node: n, label, x, y }, size, silent, entry, on, graph, choose }: NodeProps) {
  const text = n.self && label.length > 4 ? ownLabel : label
  return (
    <g
      class={['node', n.self ? 'self' : n.connected ? 'connected' : 'heard', on && 'related'].filter(Boolean).join(' ')}
      data-id={n.id}
      role="button"
      tabindex={entry ? 0 : -1}
      aria-pressed={on}
      aria-label={describe(graph, n, n.given_name || text)}
      onClick={() => choose(on ? '' : n.id)}
      onKeyDown={(e) => {
        if (e.key !== 'Enter' && e.key !== ' ') return
        e.preventDefault()
        choose(on ? '' : n.id)
      }}
    >
      <rect x={x - size.width / 2} y={y - size.height / 2} width={size.width} height={size.height} rx={n.self ? 3 : size.height / 2} />
      <text x={x} y={y + 4} aria-hidden="true">
        {text}
        {silent && '?'}
      </text>
    </g>
  )
}

function Key() {
  return (
    <ul class="legend graph-legend" aria-label="What is drawn how">
      <li>
        <svg viewBox="0 0 24 12" aria-hidden="true" class="self">
          <rect x="1" y="1" width="22" height="10" rx="2" />
        </svg>
        this box
      </li>
      <li>
        <Sample class="own direct" />
        direct, of this box
      </li>
      <li>
        <Sample class="direct" />
        direct, between others
      </li>
      <li>
        <Sample class="relayed" />
        through a relay
      </li>
      <li>
        <svg viewBox="0 0 24 12" aria-hidden="true">
          <rect class="heard" x="1" y="1" width="22" height="10" rx="5" />
        </svg>
        known from others, not connected to this box
      </li>
      <li>A box without a name has the last letters of its peer ID; ? did not report its links</li>
    </ul>
  )
}

function Sample({ class: name }: { class: string }) {
  return (
    <svg viewBox="0 0 24 12" aria-hidden="true">
      <line class={name} x1="0" x2="24" y1="6" y2="6" />
    </svg>
  )
}

/** listed is how many links are written out; the API has all. */
const listed = 300

/** InWords is what the drawing shows, as a list. */
function InWords({ graph }: { graph: Graph }) {
  const nodes = new Map(graph.nodes.map((n) => [n.id, n]))
  const [open, setOpen] = useState(false)
  const links = open ? graph.links.slice(0, listed) : []
  return (
    <details class="text-small" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>
        {graph.links.length === 1 ? 'The link' : `The ${count(graph.links.length)} links`} as a list
        {graph.cut && ', not all there are'}
      </summary>
      <ul class="links">
        {links.map((l) => (
          <li key={l.a + l.b}>
            {[`${name(nodes.get(l.a), l.a)} – ${name(nodes.get(l.b), l.b)}`, l.path, milliseconds(l.rtt_ms)].filter(Boolean).join(', ')}
          </li>
        ))}
      </ul>
      {open && graph.links.length > listed && (
        <p>
          The first {listed}. <a href="api/v1/swarm/graph">All of them, as JSON</a>
        </p>
      )}
    </details>
  )
}
