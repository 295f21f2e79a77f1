// Where clients reach the box.
import { useState } from 'preact/hooks'
import type { BoxAddress, Settings, Setup } from './api.ts'
import { useAsk } from './ask.ts'

/** reader is how clients reach the box if they do as its reader, at their port. */
function reader(port: string | undefined): string {
  const name = location.hostname.includes(':') ? `[${location.hostname.replace(/^\[|\]$/g, '')}]` : location.hostname
  return `${name}:${port || location.port || '80'}`
}

// What the reader chose counts in all views.
let chosen = ''

export interface Reach {
  /** at is the host and port to show. */
  at: string
  /** script is the URL of the script that sets up a client. */
  script: string
  addresses: BoxAddress[]
  /** local is whether clients cannot reach the box as the reader does. */
  local: boolean
  choose(address: string): void
}

/** useReach has the addresses by which clients may reach the box, the best one until the reader chooses. */
export function useReach(): Reach {
  const port = useAsk<Settings>('settings').data?.client_port
  const setup = useAsk<Setup>('setup').data
  const [choice, set] = useState(chosen)
  const addresses = setup?.addresses ?? []
  const best = addresses.find((a) => a.address === choice) ?? addresses[0]
  const at = best?.address ?? reader(port)
  return {
    at,
    script: best?.script ?? `http://${at}/setup.sh`,
    addresses,
    local: setup?.local ?? false,
    choose(address) {
      chosen = address
      set(address)
    },
  }
}
