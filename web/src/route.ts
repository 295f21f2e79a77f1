// Views are named in the fragment, since paths of the box belong to archives:
// #/view, #/view/item, and the state of a list as in #/packages?q=lib.
import { useEffect, useState } from 'preact/hooks'

export const views = [
  { id: '', name: 'Overview' },
  { id: 'packages', name: 'Packages' },
  { id: 'archive', name: 'Archive' },
  { id: 'clients', name: 'Clients' },
  { id: 'mirrors', name: 'Mirrors' },
  { id: 'swarm', name: 'Swarm' },
  { id: 'transfers', name: 'Transfers' },
  { id: 'events', name: 'Events' },
  { id: 'settings', name: 'Settings' },
  { id: 'setup', name: 'Set up a client' },
] as const

export type View = (typeof views)[number]['id']

/** former are names that views had, which bookmarks may still have. */
const former: Record<string, View> = { slice: 'packages' }

export interface Route {
  view: View
  /** item is the one thing that the view is about; '' for all of them. */
  item: string
  /** query is the state of a list when the address led here; what changes it later is not told. */
  query: string
}

/** parse reads a fragment; what it does not know is the overview. */
export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  const at = path.indexOf('/')
  const [id, rest] = at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at + 1)]
  let item = ''
  try {
    item = decodeURIComponent(rest)
  } catch {
    // a percent sign that begins no code: no item is called that
  }
  const view = views.find((v) => v.id === (former[id] ?? id))?.id ?? ''
  return { view, item: view === '' ? '' : item, query }
}

export function useRoute(): Route {
  const [route, set] = useState(() => parse(location.hash))
  useEffect(() => {
    const tell = () => set(parse(location.hash))
    addEventListener('hashchange', tell)
    return () => removeEventListener('hashchange', tell)
  }, [])
  return route
}

export interface ListState {
  q: string
  /** days is how long a client was not seen updating; 0 for all. */
  days: number
  sort: string
  offset: number
}

function listState(sort: string): ListState {
  const query = new URLSearchParams(location.hash.split('?')[1])
  return { q: query.get('q') ?? '', days: Number(query.get('days')) || 0, sort: query.get('sort') ?? sort, offset: Number(query.get('offset')) || 0 }
}

/** useListState is a list's search, order and place, kept in the address so that
 * a link or the way back leads to the same. */
export function useListState(view: View, sort: string): [ListState, (change: Partial<ListState>) => void] {
  const [state, set] = useState(() => listState(sort))
  useEffect(() => {
    const query = new URLSearchParams()
    if (state.q) query.set('q', state.q)
    if (state.days) query.set('days', String(state.days))
    if (state.sort !== sort) query.set('sort', state.sort)
    if (state.offset) query.set('offset', String(state.offset))
    const text = query.toString()
    // Replaced, not pushed: the way back is to the view before, not to each
    // letter. And not at each letter, since browsers limit how often.
    const timer = setTimeout(() => {
      // The address may be of the next view already, and this one not yet gone.
      const now = parse(location.hash)
      if (now.view === view && !now.item) history.replaceState(history.state, '', `#/${view}${text && '?' + text}`)
    }, 200)
    return () => clearTimeout(timer)
  }, [view, sort, state])
  useEffect(() => {
    const tell = () => {
      const now = parse(location.hash)
      if (now.view === view && !now.item) set(listState(sort))
    }
    addEventListener('hashchange', tell)
    return () => removeEventListener('hashchange', tell)
  }, [view, sort])
  // Another order or search begins with its first page.
  return [state, (change) => set((s) => ({ ...s, offset: 0, ...change }))]
}
