// Views are named in the fragment, since paths of the box belong to archives.
import { useEffect, useState } from 'preact/hooks'

export const views = [
  { id: '', name: 'Overview' },
  { id: 'slice', name: 'Slice' },
  { id: 'clients', name: 'Clients' },
  { id: 'swarm', name: 'Swarm' },
  { id: 'transfers', name: 'Transfers' },
  { id: 'events', name: 'Events' },
  { id: 'settings', name: 'Settings' },
  { id: 'setup', name: 'Set up a client' },
] as const

export type View = (typeof views)[number]['id']

function read(): View {
  const id = location.hash.replace(/^#\/?/, '')
  return views.find((v) => v.id === id)?.id ?? ''
}

export function useView(): View {
  const [view, set] = useState(read)
  useEffect(() => {
    const tell = () => set(read())
    addEventListener('hashchange', tell)
    return () => removeEventListener('hashchange', tell)
  }, [])
  return view
}
