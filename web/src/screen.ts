// How much room there is.
import { useEffect, useState } from 'preact/hooks'

const small = matchMedia('(max-width: 46rem)')

/** useNarrow is whether the screen is as narrow as a phone's. */
export function useNarrow(): boolean {
  const [narrow, set] = useState(small.matches)
  useEffect(() => {
    const tell = () => set(small.matches)
    small.addEventListener('change', tell)
    return () => small.removeEventListener('change', tell)
  }, [])
  return narrow
}
