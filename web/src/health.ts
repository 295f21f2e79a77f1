import type { Live } from './live.ts'

export interface Health {
  word: string
  tone: 'good' | 'warn' | 'bad' | 'quiet'
  reason: string
  more: number
}

/** health is the box's state in one word, with the most pressing reason. */
export function health({ tick, connected }: Live): Health {
  if (!connected) return { word: 'Unreachable', tone: 'bad', reason: 'This page cannot reach the box. It keeps trying.', more: 0 }
  if (!tick) return { word: 'Asking', tone: 'quiet', reason: 'Waiting for the first figures.', more: 0 }
  const fault = tick.faults.find((f) => f.fatal) ?? tick.faults.find((f) => f.urgent) ?? tick.faults[0]
  if (!fault) return { word: 'Healthy', tone: 'good', reason: 'Mirrors answer, the disk has room, figures are safe.', more: 0 }
  return {
    word: tick.status === 'unavailable' ? 'Down' : 'Degraded',
    tone: fault.fatal || fault.urgent ? 'bad' : 'warn',
    reason: `${capital(fault.what)}: ${fault.why}`,
    more: tick.faults.length - 1,
  }
}

/** capital begins a sentence, unless with a name of a host or a file. */
export function capital(s: string): string {
  if (/^\S*[./]\S/.test(s)) return s
  return s.charAt(0).toUpperCase() + s.slice(1)
}
