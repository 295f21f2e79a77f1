import { place, shownDays } from '../archive.ts'
import { day, moment } from '../units.ts'

export interface Mark {
  time: string
  /** what says which one it is, as in: in force. */
  name: string
  kind: 'past' | 'present' | 'next'
}

/** Timeline shows times of the last 30 days on a line. A reader who does not see
 * it has label, and the same in words beside it. */
export function Timeline({ marks, label, now }: { marks: Mark[]; label: string; now: number }) {
  // The present one last: later ones are drawn over earlier ones.
  const shown = [...marks].sort((a, b) => Number(a.kind === 'present') - Number(b.kind === 'present'))
  return (
    <svg class="timeline" role="img" aria-label={label}>
      <line x1="0" x2="100%" y1="13" y2="13" />
      {shown.map((m) => {
        const at = place(m.time, now)
        return (
          at !== undefined && (
            <circle key={m.kind + m.time} class={m.kind} cx={at.toFixed(2) + '%'} cy="13" r={m.kind === 'present' ? 6.5 : 4.5}>
              <title>{`${moment(m.time)}, ${m.name}`}</title>
            </circle>
          )
        )
      })}
      <text x="0" y="36">
        {day(now - shownDays * 86_400_000)}
      </text>
      <text x="100%" y="36" class="end">
        today
      </text>
    </svg>
  )
}
