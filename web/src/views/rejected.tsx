import { useState } from 'preact/hooks'
import { change, type Suite } from '../api.ts'
import { useAdmin } from '../ask.ts'
import { moment } from '../units.ts'

/** RejectedRelease is what the mirror has of a suite and the box does not take. */
export function RejectedRelease({ suite: s, changed }: { suite: Suite; changed(): void }) {
  const r = s.rejected
  if (!r) return null
  return (
    <div class="detail reason">
      Rejected {moment(r.last)}
      {r.mirror && ` from ${r.mirror}`}: a Release {r.date ? `of ${moment(r.date)}` : 'without a date'}, first sent {moment(r.first)}. {r.reason}
      <Accept suite={s} digest={r.digest} changed={changed} />
    </div>
  )
}

function Accept({ suite: s, digest, changed }: { suite: Suite; digest: string; changed(): void }) {
  const may = useAdmin()
  const [said, say] = useState('')
  if (may !== 'given') return null
  const accept = async () => {
    say('…')
    try {
      await change('POST', 'suites/accept', { suite: s.url, digest })
      say('')
    } catch (e) {
      say((e as Error).message)
    }
    changed()
  }
  return (
    <div class="actions">
      <button type="button" onClick={accept}>
        Accept it in place of the Release {s.date ? `of ${moment(s.date)}` : 'in force'}
      </button>
      <span role="status">{said}</span>
    </div>
  )
}
