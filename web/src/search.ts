// The search among the files that are held, a stretch of names per request.
import { type Blob, type Found, get } from './api.ts'

/** wanted is how many hits a search collects before it waits to be told to go on. */
const wanted = 50

export interface Hits {
  items: Blob[]
  next: string
  scanned: number
  busy: boolean
  error?: Error
}

export const nothing: Hits = { items: [], next: '', scanned: 0, busy: false }

export interface Search {
  /** begin searches for q from the start, in place of the search before. */
  begin(q: string): void
  /** further goes on where the search stopped. */
  further(): void
  stop(): void
}

/** newSearch shows the hits of one search at a time: what an older one still finds is not shown. */
export function newSearch(show: (h: Hits) => void): Search {
  let q = ''
  let hits = nothing
  let running = new AbortController()
  const stop = () => running.abort()
  const start = () => {
    stop()
    running = new AbortController()
    const { signal } = running
    void look(q, hits, signal, (h) => {
      if (signal.aborted) return
      hits = h
      show(h)
    })
  }
  return {
    begin(words) {
      q = words
      hits = nothing
      start()
    },
    further: start,
    stop,
  }
}

/** look goes through the store until there are enough hits. */
async function look(q: string, from: Hits, signal: AbortSignal, show: (h: Hits) => void) {
  let hits: Hits = { items: from.items, next: from.next, scanned: from.scanned, busy: true }
  const goal = from.items.length + wanted
  show(hits)
  try {
    do {
      const f = await get<Found>(`blobs?limit=${wanted}&q=${encodeURIComponent(q)}&after=${encodeURIComponent(hits.next)}`, signal)
      hits = { items: [...hits.items, ...f.items], next: f.next, scanned: hits.scanned + f.scanned, busy: f.next !== '' }
      show(hits)
    } while (hits.next && hits.items.length < goal && !signal.aborted)
    show({ ...hits, busy: false })
  } catch (error) {
    show({ ...hits, busy: false, error: error as Error })
  }
}
