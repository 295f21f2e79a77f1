import { expect, test } from 'vitest'
import type { GraphNode } from './api.ts'
import { drawn, linksOf, ring } from './ring.ts'

const boxes = (n: number, near = Math.ceil(n / 2), named = (_: number) => ''): GraphNode[] =>
  Array.from({ length: n }, (_, i) => ({
    given_name: named(i),
    id: `12D3KooW${(i * 7919 + 1e7).toString(36)}`,
    self: i === 0,
    connected: true,
    agent: '',
    nearby: i < near && i > 0,
  }))

test.each([320, 480, 700, 1100, 1500].flatMap((w) => [1, 2, 3, 7, 14, 15, 20, 21, 35, drawn].map((n) => [n, w] as const)))(
  '%d boxes at %d px lie apart and within',
  (n, width) => {
    for (const near of [1, 2, Math.ceil(n / 2), n]) {
      const r = ring(boxes(n, near), width)
      expect(r.spots.length).toBe(n)
      r.spots.forEach((a, i) => {
        expect(a.x - r.label.width / 2).toBeGreaterThanOrEqual(0)
        expect(a.x + r.label.width / 2).toBeLessThanOrEqual(width)
        expect(a.y - r.label.height / 2).toBeGreaterThanOrEqual(0)
        expect(a.y + r.label.height / 2).toBeLessThanOrEqual(r.height)
        for (const b of r.spots.slice(i + 1)) {
          const apart = Math.abs(a.x - b.x) >= r.label.width || Math.abs(a.y - b.y) >= r.label.height
          expect(apart, `${n} boxes, ${near} near: ${a.label} and ${b.label}`).toBe(true)
        }
      })
    }
  },
)

test('a name stands in place of the end of an ID, cut where there is no room', () => {
  const all = boxes(3, 2, (i) => ['', 'cellar', 'the-box-in-the-attic'][i]!)
  const labels = (width: number) => ring(all, width).spots.map((s) => s.label)
  expect(labels(1100)).toContain('cellar')
  expect(labels(1100)).toContain('the-box-in-th…')
  expect(labels(360)).toContain('the-bo…')
  expect(labels(1100)).toContain(all[0]!.id.slice(-8))
  for (const width of [320, 700, 1500]) {
    const r = ring(
      boxes(20, 9, (i) => 'a-long-name-' + i),
      width,
    )
    for (const [i, a] of r.spots.entries()) {
      for (const b of r.spots.slice(i + 1)) expect(Math.abs(a.x - b.x) >= r.label.width || Math.abs(a.y - b.y) >= r.label.height).toBe(true)
    }
  }
})

test('places depend on who there is, not on the order of the answer', () => {
  const all = boxes(9)
  const places = (nodes: GraphNode[]) => Object.fromEntries(ring(nodes, 800).spots.map((s) => [s.node.id, [s.x, s.y]]))
  expect(places([...all].reverse())).toEqual(places(all))
})

test('this box stands at the top', () => {
  for (const near of [1, 3, 8]) {
    const { spots } = ring(boxes(8, near), 800)
    const top = Math.min(...spots.map((s) => s.y))
    expect(spots.find((s) => s.node.self)!.y).toBeCloseTo(top, 0)
  }
})

test('links are told from each end', () => {
  const graph = {
    nodes: [],
    asked: '',
    silent: [],
    links: [
      { a: 'x', b: 'y', path: 'direct' as const, rtt_ms: 9 },
      { a: 'z', b: 'x', path: 'relayed' as const, rtt_ms: 3 },
    ],
  }
  expect(linksOf(graph, 'x').map((l) => l.other)).toEqual(['z', 'y'])
  expect(linksOf(graph, 'y')).toEqual([{ other: 'x', path: 'direct', rtt_ms: 9 }])
})
