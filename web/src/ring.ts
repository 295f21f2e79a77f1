// Where the boxes of a swarm stand in its drawing: on an ellipse, this box at
// its top among the boxes of its site, the others below. The places depend on
// who there is and on the room alone, so that a figure that changes moves none.
import type { Graph, GraphNode } from './api.ts'

/** drawn is how many boxes the drawing has room for; labels would overlap beyond. */
export const drawn = 50

export interface Spot {
  node: GraphNode
  /** label is the box's name, or the end of its ID, as far as there is room for it. */
  label: string
  x: number
  y: number
}

export interface Ring {
  width: number
  height: number
  /** label is the size of one. */
  label: { width: number; height: number }
  spots: Spot[]
  /** site is the path along the boxes of this site; '' unless some are and some are not. */
  site: string
}

/** order puts this box in the middle of those of its site, the others after. */
export function order(nodes: GraphNode[]): { site: GraphNode[]; others: GraphNode[] } {
  const byID = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1))
  const near = byID.filter((n) => n.nearby && !n.self)
  const half = Math.ceil(near.length / 2)
  return {
    site: [...near.slice(0, half), ...byID.filter((n) => n.self), ...near.slice(half)],
    others: byID.filter((n) => !n.nearby && !n.self),
  }
}

/** steps is how many points of the ellipse are tried as places. */
const steps = 1440

/** ring lays out up to drawn boxes in a drawing of this width. */
export function ring(nodes: GraphNode[], width: number): Ring {
  const { site, others } = order(nodes)
  const many = nodes.length > 14
  const narrow = width < 500
  const height = narrow ? width * (many ? 2.1 : 1) : many ? Math.min(width * 0.8, 560) : Math.min(width * 0.5, 360)
  const few = !narrow && nodes.length <= 20
  const named = Math.max(0, ...nodes.map((n) => n.given_name?.length ?? 0))
  const letters = Math.max(few ? 8 : 4, Math.min(named, few ? 14 : 7))
  const ends = few ? 8 : 4
  const label = { width: letters * 8 + 10, height: 22 }
  const [cx, cy] = [width / 2, height / 2]
  const [rx, ry] = [cx - label.width / 2 - 14, cy - label.height / 2 - 26]
  const point = (step: number): [number, number] => {
    const angle = (2 * Math.PI * step) / steps - Math.PI / 2
    return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)]
  }

  // Between the two groups is as much as between two boxes, once more.
  const gap = others.length > 0 && site.length > 1 ? 1 : 0
  const places = divide(nodes.length + 2 * gap, (a, b) => {
    const [p, q] = [point(a), point(b)]
    return Math.max(Math.abs(p[0] - q[0]) / label.width, Math.abs(p[1] - q[1]) / label.height)
  })
  const middle = site.findIndex((s) => s.self)
  const place = (i: number) => places[(i - middle + (i < site.length ? 0 : gap) + places.length) % places.length]!
  const spots = [...site, ...others].map((node, i) => {
    const [x, y] = point(place(i))
    return { node, label: cut(node.given_name ?? '', letters) || node.id.slice(-ends), x, y }
  })
  return { width, height, label, spots, site: gap ? along(point, place(0) - (middle > 0 ? steps : 0), place(site.length - 1)) : '' }
}

/** cut is a name as far as there is room for it. */
const cut = (name: string, letters: number) => (name.length > letters ? name.slice(0, letters - 1) + '…' : name)

/** roomy is a distance, in labels, that needs no better division. */
const roomy = 1.3

/** divide finds n steps that are far apart, from the first around to it: at
 * equal angles, or where that is too near somewhere, at equal distances. */
function divide(n: number, distance: (a: number, b: number) => number): number[] {
  const even = Array.from({ length: n + 1 }, (_, i) => Math.round((i * steps) / n))
  if (even.every((step, i) => i === 0 || n === 1 || distance(even[i - 1]!, step) >= roomy)) return even.slice(0, n)
  const walk = (far: number) => {
    const all = [0]
    for (let step = 1; step < steps && all.length < n; step++) {
      if (distance(step, all.at(-1)!) >= far) all.push(step)
    }
    return all
  }
  // The largest distance that has room for n, also between the last and the first.
  let [low, high] = [0, 2 * distance(0, steps / 2) + distance(steps / 4, (3 * steps) / 4)]
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2
    const all = walk(middle)
    if (all.length === n && (n < 2 || distance(all[n - 1]!, steps) >= middle)) low = middle
    else high = middle
  }
  return walk(low)
}

function along(point: (step: number) => [number, number], from: number, to: number): string {
  const points = Array.from({ length: 33 }, (_, i) => point(from + ((to - from) * i) / 32))
  return 'M' + points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join('L')
}

/** linksOf are the links of one box, the nearest first. */
export function linksOf(graph: Graph, id: string) {
  return graph.links
    .filter((l) => l.a === id || l.b === id)
    .map((l) => ({ other: l.a === id ? l.b : l.a, path: l.path, rtt_ms: l.rtt_ms }))
    .sort((a, b) => a.rtt_ms - b.rtt_ms)
}
