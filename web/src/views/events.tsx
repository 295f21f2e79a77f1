import { useEffect } from 'preact/hooks'
import type { Event as BoxEvent, EventList } from '../api.ts'
import { useAsk } from '../ask.ts'
import { capital } from '../health.ts'
import type { Live } from '../live.ts'
import { Empty, Heading, Trouble } from '../parts.tsx'
import { count, moment } from '../units.ts'

export function Events({ live }: { live: Live }) {
  const ask = useAsk<EventList>('events?limit=200')
  const last = live.tick?.last_event
  useEffect(() => ask.again(), [last])
  const faults = live.tick?.faults ?? []
  const events = ask.data?.events
  return (
    <>
      <Heading title="Events">What failed or was refused, for whom and why, and what administrators did: the latest first, with the setting that would change it.</Heading>
      <Trouble error={ask.error} />
      {faults.length > 0 && (
        <section aria-labelledby="faults">
          <h2 id="faults">Right now</h2>
          <ul class="rows">
            {faults.map((f) => (
              <li key={f.what} class={f.fatal ? 'error' : 'warn'}>
                <div class="head">
                  <b>{capital(f.what)}</b>
                </div>
                <p>{f.why}</p>
              </li>
            ))}
          </ul>
        </section>
      )}
      {events?.length === 0 && <Empty title="Nothing went wrong.">Errors and refused requests appear here.</Empty>}
      <ul class="rows">
        {events?.map((e) => (
          <li key={e.id} class={e.level}>
            <Row event={e} />
          </li>
        ))}
      </ul>
    </>
  )
}

function Row({ event: e }: { event: BoxEvent }) {
  return (
    <>
      <div class="head">
        <b>{capital(e.what)}</b>
        <span class="detail">
          {e.times > 1 && `${count(e.times)} times, last `}
          <time dateTime={e.time}>{moment(e.time)}</time>
        </span>
      </div>
      {e.setting && (
        <p>
          <code>{e.setting}</code> would change this.
        </p>
      )}
      {e.cause && <p>{e.cause}</p>}
      {e.url && <p class="detail">{e.url}</p>}
    </>
  )
}
