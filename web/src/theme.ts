// Dark and light follow the system unless the reader chose otherwise.
import { useEffect, useState } from 'preact/hooks'

export type Theme = 'system' | 'light' | 'dark'

const key = 'millpond-theme'
const system = matchMedia('(prefers-color-scheme: dark)')
const changes = new EventTarget()

// Storage may be forbidden; the choice then lasts until the next load.
let chosen: Theme = 'system'
try {
  const stored = localStorage.getItem(key)
  if (stored === 'light' || stored === 'dark') chosen = stored
} catch {
  // as above
}

export function applyTheme() {
  document.documentElement.dataset.theme = chosen
  changes.dispatchEvent(new Event('change'))
}

system.addEventListener('change', applyTheme)

export function choose(theme: Theme) {
  chosen = theme
  try {
    localStorage.setItem(key, theme)
  } catch {
    // as above
  }
  applyTheme()
}

function use<T>(read: () => T): T {
  const [value, set] = useState(read)
  useEffect(() => {
    const tell = () => set(read)
    changes.addEventListener('change', tell)
    return () => changes.removeEventListener('change', tell)
  }, [])
  return value
}

export const useTheme = () => use(() => chosen)

/** useShade is the theme in force: the chart is redrawn when it changes. */
export const useShade = () => use(() => (chosen === 'system' ? (system.matches ? 'dark' : 'light') : chosen))
