import { useEffect, useState } from 'preact/hooks'
import { type Event as BoxEvent, type EventList, get, part } from '../api.ts'
import { useSettled } from '../ask.ts'
import { capital } from '../health.ts'
import type { Live } from '../live.ts'
import { Empty, Heading, Trouble, useFirst } from '../parts.tsx'
import { bare, count, moment } from '../units.ts'

const limit = 50

const kinds: Record<BoxEvent['kind'], string> = {
  fault: 'faults',
  refusal: 'refusals',
  mirror: 'answers of mirrors',
  ring: 'rings',
  audit: 'admin actions',
}

interface Filter {
  client: string
  suite: string
  host: string
  kind: string
}

function fromAddress(): Filter {
  const query = new URLSearchParams(location.hash.split('?')[1])
  const of = (name: string) => query.get(name) ?? ''
  return { client: of('client'), suite: of('suite'), host: of('host'), kind: of('kind') }
}

function queryOf(f: Filter): string {
  return new URLSearchParams(Object.entries(f).filter(([, v]) => v)).toString()
}

export function Events({ live }: { live: Live }) {
  const [filter, set] = useState(fromAddress)
  const settled = useSettled(filter, 250)
  const change = (part: Partial<Filter>) => set((f) => ({ ...f, ...part }))
  const query = queryOf(settled)
  useEffect(() => {
    if (location.hash.startsWith('#/events')) history.replaceState(history.state, '', '#/events' + (query && '?' + query))
  }, [query])
  return (
    <>
      <Heading title="Events">
        What failed or was refused, for whom and why, and what administrators did: the latest first, with the setting that would change it.
      </Heading>
      <RightNow live={live} />
      <div class="tools filters">
        <label class="search">
          <span>Kind</span>
          <select value={filter.kind} onChange={(e) => change({ kind: e.currentTarget.value })}>
            <option value="">all</option>
            {Object.entries(kinds).map(([id, name]) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <Field label="Client’s address" value={filter.client} onInput={(client) => change({ client })} />
        <Field label="Host" value={filter.host} onInput={(host) => change({ host })} />
        <Field label="Suite" value={filter.suite} onInput={(suite) => change({ suite })} />
      </div>
      <Found key={query} query={query} last={live.tick?.last_event ?? 0} />
    </>
  )
}

function Field({ label, value, onInput }: { label: string; value: string; onInput(text: string): void }) {
  return (
    <label class="search">
      <span>{label}</span>
      <input type="search" value={value} spellcheck={false} autocomplete="off" onInput={(e) => onInput(e.currentTarget.value.trim())} />
    </label>
  )
}

function RightNow({ live }: { live: Live }) {
  const faults = live.tick?.faults ?? []
  if (faults.length === 0) return null
  return (
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
  )
}

/** Found are the events that match; a new one is shown when it comes. */
function Found({ query, last }: { query: string; last: number }) {
  const [list, set] = useState<EventList>()
  const [error, fail] = useState<Error>()
  const ask = async (before: number, stop?: AbortSignal) => {
    try {
      const l = await get<EventList>(`events?limit=${limit}${before ? `&before=${before}` : ''}${query && '&' + query}`, stop)
      set((old) => (before && old ? { ...l, events: [...old.events, ...l.events] } : l))
      fail(undefined)
    } catch (e) {
      if (!stop?.aborted) fail(e as Error)
    }
  }
  useEffect(() => {
    const stop = new AbortController()
    void ask(0, stop.signal)
    return () => stop.abort()
  }, [last])
  const [shown, more] = useFirst(list?.events ?? [], 12)
  return (
    <section class="section" aria-label="What happened">
      <Trouble error={error} />
      {list?.events.length === 0 &&
        (query ? (
          <Empty title="Nothing of the kind happened.">Take a part of the filter away to see more.</Empty>
        ) : (
          <Empty title="Nothing went wrong.">Errors, refused requests and admin actions appear here.</Empty>
        ))}
      <ul class="rows">
        {shown.map((e) => (
          <li key={e.id} class={e.level}>
            <Row event={e} />
          </li>
        ))}
      </ul>
      {more}
      {list && list.next > 0 && (
        <button type="button" class="more" onClick={() => ask(list.next)}>
          Show older ones
        </button>
      )}
    </section>
  )
}

function Row({ event: e }: { event: BoxEvent }) {
  return (
    <>
      <div class="head">
        <b>{capital(e.what)}</b>
        <span class="detail">
          {e.times > 1 && `${count(e.times)} times since ${moment(e.first)}, last `}
          <time dateTime={e.time}>{moment(e.time)}</time>
        </span>
      </div>
      {e.cause && <p>{capital(e.cause)}</p>}
      {e.setting && (
        <p>
          <code>{e.setting}</code> would change this.
        </p>
      )}
      <p class="detail">
        {e.clients.length > 0 && 'For '}
        {e.clients.map((c, i) => (
          <>
            {i > 0 && ', '}
            <a href={'#/clients/' + part(c.address)} title={c.address}>
              {c.given_name || c.hostname || c.address}
            </a>
          </>
        ))}
        {e.clients.length > 0 && e.url && ' · '}
        {e.url && <span title={e.url}>{bare(e.url)}</span>}
      </p>
    </>
  )
}
