// The stream of ticks, and the rates between two of them.
import { useEffect, useState } from 'preact/hooks'
import { get, Refusal, type Tick } from './api.ts'

export interface Rates {
  clients: number
  mirror: number
  peers: number
}

export interface Live {
  /** tick is the last one; it stays while the box is away. */
  tick: Tick | undefined
  connected: boolean
  /** rates are bytes per second, a second each, the newest last. */
  rates: Rates[]
  /** refused is why the box shows this page nothing, in its own words. */
  refused?: string
}

/** refusal is why asking again is of no use, "" if it is. */
export function refusal(error: unknown): string {
  return error instanceof Refusal && [401, 403, 421].includes(error.status) ? error.message : ''
}

/** kept is how many seconds of rates the page remembers. */
export const kept = 60

export function advance(live: Live, tick: Tick): Live {
  const before = live.tick
  let rates = live.rates
  if (before) {
    const seconds = (Date.parse(tick.time) - Date.parse(before.time)) / 1000
    // After a gap or a restart the difference is no rate.
    if (seconds > 0 && seconds < 5) {
      const per = (a: number, b: number) => Math.max(0, (b - a) / seconds)
      const rate = {
        clients: per(before.summary.client_bytes, tick.summary.client_bytes),
        mirror: per(before.summary.mirror_bytes, tick.summary.mirror_bytes),
        peers: per(before.summary.peer_bytes_in, tick.summary.peer_bytes_in),
      }
      rates = [...rates, rate].slice(-kept)
    } else if (seconds >= 5) {
      rates = []
    }
  }
  return { tick, connected: true, rates }
}

// The browser's own reconnecting gives up for good on an answer such as 503,
// which a box that is starting may send.
const patience = 15_000
const again = 2000

/** useLive follows the stream for as long as the page is open and visible. */
export function useLive(): Live {
  const [live, set] = useState<Live>({ tick: undefined, connected: true, rates: [] })
  useEffect(() => {
    let source: EventSource | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    let over = false
    const end = () => {
      over = true
      clearTimeout(timer)
      source?.close()
    }
    const connect = () => {
      source?.close()
      source = new EventSource('api/v1/events')
      source.addEventListener('tick', (e) => {
        const tick = JSON.parse((e as MessageEvent<string>).data) as Tick
        set((l) => advance(l, tick))
        wait(patience)
      })
      source.onerror = lost
      wait(patience)
    }
    const lost = () => {
      set((l) => ({ ...l, connected: false }))
      source?.close()
      wait(again)
      // A stream that fails does not say why.
      get('summary').catch((error) => {
        const refused = refusal(error)
        if (!refused || over) return
        end()
        set((l) => ({ ...l, refused }))
      })
    }
    const wait = (ms: number) => {
      clearTimeout(timer)
      timer = setTimeout(() => {
        if (ms === patience) set((l) => ({ ...l, connected: false }))
        connect()
      }, ms)
    }
    // A hidden page costs the box nothing.
    const look = () => {
      if (over) return
      if (document.visibilityState === 'visible') connect()
      else {
        clearTimeout(timer)
        source?.close()
      }
    }
    look()
    document.addEventListener('visibilitychange', look)
    return () => {
      document.removeEventListener('visibilitychange', look)
      end()
    }
  }, [])
  return live
}
