import type { FollowedSuite, PageFollowedSuite, PageSuite, Suite } from '../api.ts'
import { archiveName, components, depths, reason, within } from '../archive.ts'
import { type Answer, useAsk, useNow } from '../ask.ts'
import { Empty, Meter, Pager, Trouble, useFirst } from '../parts.tsx'
import { ago, count, moment, short } from '../units.ts'
import { Generations } from './generations.tsx'

/** suitesShown is how many suites are shown at once: each asks for its generations. */
export const suitesShown = 20

interface FollowedProps {
  ask: Answer<PageFollowedSuite>
  /** at is the box's address for clients. */
  at: string
  onTurn(offset: number): void
}

export function FollowedSuites({ ask, at, onTurn }: FollowedProps) {
  const suites = useAsk<PageSuite>('suites?limit=200', 60).data
  const now = useNow(10)
  const page = ask.data
  const [shown, more] = useFirst(page?.items ?? [], 2)
  return (
    <section class="section" aria-labelledby="followed">
      <h2 id="followed">Followed suites</h2>
      <p class="quiet text-small">
        The box asks the mirror about each of them every quarter of an hour, and has a new generation’s indices before the first client asks.
      </p>
      <Trouble error={ask.error} />
      {page && page.total === 0 ? (
        <Empty title="No suite is followed yet.">
          A suite is followed once a client has used it through this box, or when <code>MILLPOND_FOLLOW</code> names it.{' '}
          <a href="#/setup">Set up a client</a>
        </Empty>
      ) : (
        <ul class="followed rows">
          {shown.map((s) => (
            <li key={s.url}>
              <Followed suite={s} known={suites?.items.find((k) => k.url === s.url)} at={at} now={now} />
            </li>
          ))}
        </ul>
      )}
      {more}
      {page && <Pager offset={page.offset} limit={suitesShown} total={page.total} onTurn={onTurn} />}
    </section>
  )
}

interface Row {
  suite: FollowedSuite
  /** known is what the catalog has of it. */
  known: Suite | undefined
  at: string
  now: number
}

function Followed({ suite: s, known, at, now }: Row) {
  const by = known?.checked_by ? ` by the box ${short(known.checked_by)} of this site` : ''
  return (
    <>
      <div class="of">
        <h3>
          {s.name} <small>{archiveName(s.url)}</small>
        </h3>
        <p class="detail">{reason(s)}</p>
        <p class="detail">fetched ahead: {depths[s.depth]}</p>
      </div>
      <div class="has">
        <p>{s.date ? `Release of ${moment(s.date)}` : 'No Release yet'}</p>
        <p class="detail">
          {s.checked ? `checked ${ago(s.checked, now)}${by}` : 'not checked yet'}, next {within(s.next, now)}
        </p>
        <div class="measure">
          <Meter value={s.indices_held} of={s.indices_total} label="Indices held" />
          <span class="detail">
            {count(s.indices_held)} of {s.indices_total === 1 ? '1 index' : `${count(s.indices_total)} indices`} held
          </span>
        </div>
        {s.fault && <p class="fault">{s.fault}</p>}
      </div>
      <Generations suite={s} signed={known?.signed ?? true} components={components(known?.indices ?? [])} at={at} now={now} />
    </>
  )
}
