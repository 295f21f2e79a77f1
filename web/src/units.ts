// Numbers as people read them. Bytes are in decimal units, as apt, disks and
// links count: 1 kB is 1000 bytes.

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB']
const minus = '−'

/** Amount is a number of bytes in two parts, to be set in two sizes. */
export interface Amount {
  number: string
  unit: string
}

/** amount gives three significant digits: 999 B, 1.28 GB, 12.8 GB, 128 GB. */
export function amount(bytes: number): Amount {
  const sign = bytes < 0 ? minus : ''
  let value = Math.abs(bytes)
  let unit = 0
  // 999.5 would be written as 1000.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return { number: sign + value.toFixed(digits), unit: units[unit]! }
}

const space = '\u00a0'

export function bytes(n: number): string {
  const a = amount(n)
  return a.number + space + a.unit
}

/** round is bytes for a number that is round already: 5 GB, 2.5 MB. */
export function round(n: number): string {
  const a = amount(n)
  return Number(a.number.replace(minus, '-')).toString().replace('-', minus) + space + a.unit
}

/** price is what bytes would have cost. */
export function price(bytes: number, of: { per_gb: number; currency: string }): string {
  const sum = (bytes / 1e9) * of.per_gb
  const shown = Math.abs(sum) >= 1000 ? count(sum) : Math.abs(sum).toFixed(2)
  return `${sum < 0 && Math.abs(sum) < 1000 ? minus : ''}${shown}${space}${of.currency}`
}

export function rate(perSecond: number): string {
  return bytes(perSecond) + '/s'
}

export function count(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, '\u202f')
    .replace('-', minus)
}

/** share is part of whole in percent; '' where there is no whole. */
export function share(part: number, whole: number): string {
  if (whole <= 0) return ''
  const percent = (100 * Math.abs(part)) / whole
  const shown = portion(percent, part < whole)
  return (part >= 0 ? shown : shown.startsWith('<') ? '>' + space + minus + '0.1' : minus + shown) + space + '%'
}

/** portion is 0 of nothing and 100 of everything alone: neither is what a
 * small part, or one that lacks little, is rounded to. */
function portion(percent: number, lacking: boolean): string {
  if (percent === 0) return '0'
  if (percent < 0.1) return '<' + space + '0.1'
  if (percent < 0.95) return percent.toFixed(1)
  if (lacking && percent > 99.9) return '>' + space + '99.9'
  if (lacking && percent >= 99.5) return (Math.floor(percent * 10) / 10).toFixed(1)
  return Math.round(percent).toString()
}

const steps: [number, string][] = [
  [86400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
]

/** span is a length of time in its largest unit. */
export function span(seconds: number): string {
  const s = Math.max(0, Math.round(seconds))
  for (const [size, unit] of steps) {
    if (s >= size) return Math.floor(s / size) + space + unit
  }
  return '0' + space + 's'
}

/** ago is how long before now a time was; '' for none. */
export function ago(time: string | null | undefined, now: number): string {
  if (!time || time.startsWith('0001-')) return ''
  const seconds = (now - Date.parse(time)) / 1000
  return seconds < 5 ? 'just now' : span(seconds) + ' ago'
}

/** milliseconds is a round trip; '' for one that is not known. */
export function milliseconds(rtt: number): string {
  return rtt <= 0 ? '' : (rtt < 10 ? rtt.toFixed(1) : Math.round(rtt)) + space + 'ms'
}

/** short is the end of a peer ID, which tells boxes apart. */
export const short = (id: string) => '…' + id.slice(-8)

/** bare is a URL without its scheme. */
export const bare = (url: string) => url.replace(/^https?:\/\//, '')

/** boxName is what a box is called: by its name, else by the end of its ID. */
export const boxName = (b: { id: string; given_name?: string | undefined }) => b.given_name || short(b.id)

const pad = (n: number) => String(n).padStart(2, '0')

/** moment writes a time in the reader's zone: 2026-03-01 14:05; a dash for none. */
export function moment(time: string | number | null): string {
  if (time === null) return '–'
  const d = new Date(time)
  return `${day(d)} ${pad(d.getHours())}:${pad(d.getMinutes())}`
}

/** zone names the reader's zone: Europe/Berlin, UTC+01:00. */
export function zone(now = new Date(), name = Intl.DateTimeFormat().resolvedOptions().timeZone): string {
  const minutes = -now.getTimezoneOffset()
  const size = Math.abs(minutes)
  const offset = minutes === 0 ? 'UTC' : `UTC${minutes < 0 ? minus : '+'}${pad(Math.floor(size / 60))}:${pad(size % 60)}`
  return name === 'UTC' || !name ? offset : `${name}, ${offset}`
}

export function day(time: string | number | Date): string {
  const d = new Date(time)
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`
}
