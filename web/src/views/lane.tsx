import { useState } from 'preact/hooks'
import { change, part, type RingSuite } from '../api.ts'
import { archiveName, within } from '../archive.ts'
import { AskedBack } from '../parts.tsx'
import { ago, moment } from '../units.ts'
import { Changes } from './changes.tsx'
import { type Mark, Timeline } from './timeline.tsx'

interface LaneProps {
  ring: string
  of: RingSuite
  may: boolean
  now: number
  changed(): void
}

/** Lane is what a ring has of one suite, and what it gets next. */
export function Lane({ ring, of: s, may, now, changed }: LaneProps) {
  const [open, setOpen] = useState(false)
  return (
    <>
      <div class="of">
        <h4>
          {s.name} <small>{archiveName(s.suite)}</small>
        </h4>
        {s.security && <p class="detail">a security suite</p>}
      </div>
      <div class="has">
        <p>
          Clients get the generation of <b>{moment(s.present.date)}</b>
        </p>
        <p class="detail">
          since {moment(s.since)}, {ago(s.since, now)}
          {s.present.valid_until && `; valid until ${moment(s.present.valid_until)}`}
        </p>
        <p class={s.held ? 'held' : undefined}>{coming(s, now)}</p>
        {s.expiry && <p class="fault">Valid-Until: {s.expiry}.</p>}
        {may && <Actions ring={ring} of={s} changed={changed} />}
      </div>
      <div class="past">
        <Timeline
          marks={marks(s)}
          now={now}
          label={`${s.name} in the ring ${ring}: the generation of ${moment(s.present.date)} on a line of 30 days`}
        />
      </div>
      {s.latest && (
        <details open={open} onToggle={(e) => setOpen((e.currentTarget as HTMLDetailsElement).open)}>
          <summary>
            What a promotion of {s.name} would bring: the generation of {moment(s.latest.date)}
          </summary>
          {open && <Changes ring={ring} suite={s.suite} name={s.name} to={s.latest.digest} />}
        </details>
      )}
    </>
  )
}

/** coming is what a ring gets next of a suite. */
function coming(s: RingSuite, now: number): string {
  if (s.held) return s.latest ? 'Held: it gets no newer one by itself' : 'Held: it will get no newer one by itself'
  if (!s.next || !s.due) return 'There is no newer one yet'
  return `Next is that of ${moment(s.next.date)}, ${within(s.due, now)}`
}

function marks(s: RingSuite): Mark[] {
  const all: Mark[] = [{ time: s.present.date, name: 'what clients get', kind: 'present' }]
  if (s.former) all.push({ time: s.former.date, name: 'what they had before', kind: 'past' })
  if (s.next) all.push({ time: s.next.date, name: 'what they get next', kind: 'next' })
  if (s.latest && s.latest.digest !== s.next?.digest) all.push({ time: s.latest.date, name: 'what a promotion would bring', kind: 'next' })
  return all
}

function Actions({ ring, of: s, changed }: { ring: string; of: RingSuite; changed(): void }) {
  const [said, say] = useState('')
  const act = async (done: string, what: string, more: object = {}) => {
    say('…')
    try {
      await change('POST', `rings/${part(ring)}/${what}`, { suite: s.suite, ...more })
      say(done)
      changed()
    } catch (e) {
      say((e as Error).message)
    }
  }
  const about = `${s.name} in ${ring}`
  return (
    <div class="actions">
      {s.latest && <AskedBack label="Promote" sure="Promote now" about={about} act={() => act('Promoted.', 'promote')} />}
      {s.held ? (
        <AskedBack label="End the hold" sure="End it now" about={about} act={() => act('Not held any more.', 'hold', { hold: false })} />
      ) : (
        <AskedBack label="Hold" sure="Hold now" about={about} act={() => act('Held.', 'hold', { hold: true })} />
      )}
      {s.former && (
        <AskedBack
          label="Roll back"
          sure={`Roll back to ${moment(s.former.date)}`}
          about={about}
          act={() => act('Rolled back, and held there.', 'rollback')}
        />
      )}
      <span role="status">{said}</span>
    </div>
  )
}
