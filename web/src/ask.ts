import { useEffect, useState } from 'preact/hooks'
import { admin, get, type Privacy, type Settings } from './api.ts'

export interface Answer<T> {
  /** data stays during the next request, and after one that fails. */
  data: T | undefined
  error: Error | undefined
  again(): void
}

/** useAsk asks for path at once, whenever it changes, and every seconds. */
export function useAsk<T>(path: string, seconds?: number): Answer<T> {
  const [state, set] = useState<{ data?: T; error?: Error }>({})
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    const stop = new AbortController()
    get<T>(path, stop.signal).then(
      (data) => set({ data }),
      (error: Error) => {
        if (!stop.signal.aborted) set((s) => ({ ...s, error }))
      },
    )
    return () => stop.abort()
  }, [path, turn])
  useEffect(() => {
    if (!seconds) return
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') setTurn((n) => n + 1)
    }, seconds * 1000)
    return () => clearInterval(timer)
  }, [seconds])
  return { data: state.data, error: state.error, again: () => setTurn((n) => n + 1) }
}

/** useAdmin is whether admin actions are off in this box, wait for the token,
 * or have been given one; undefined until the box has said. */
export function useAdmin(): 'off' | 'asked' | 'given' | undefined {
  const settings = useAsk<Settings>('settings').data
  return settings && (!settings.admin ? 'off' : admin.known ? 'given' : 'asked')
}

/** usePrivacy is what the box does not keep; undefined until it has said. */
export function usePrivacy(): Privacy | undefined {
  return useAsk<Settings>('settings').data?.privacy
}

/** useNow is the time, again every so many seconds. */
export function useNow(seconds: number): number {
  const [now, set] = useState(() => Date.now())
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), seconds * 1000)
    return () => clearInterval(timer)
  }, [seconds])
  return now
}

/** useSettled is value once it has not changed for ms. */
export function useSettled<T>(value: T, ms: number): T {
  const [settled, set] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => set(value), ms)
    return () => clearTimeout(timer)
  }, [value, ms])
  return settled
}
