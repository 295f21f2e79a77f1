import { useState } from 'preact/hooks'
import type { FollowedSuite, Generation, PageGeneration } from '../api.ts'
import { expired, shownDays, snapshotLine } from '../archive.ts'
import { useAsk } from '../ask.ts'
import { Code, Pager, Trouble } from '../parts.tsx'
import { moment } from '../units.ts'
import { Timeline } from './timeline.tsx'

/** listed is how many generations a page of their list has. */
const listed = 10

interface GenerationsProps {
  suite: FollowedSuite
  signed: boolean
  components: string[]
  at: string
  now: number
}

/** Generations are those of a suite that the box has, on a line and as a list. */
export function Generations({ suite, signed, components, at, now }: GenerationsProps) {
  const ask = useAsk<PageGeneration>(`generations?limit=200&suite=${encodeURIComponent(suite.url)}`, 30)
  const [offset, turn] = useState(0)
  const all = ask.data?.items ?? []
  const present = all.find((g) => !g.superseded)
  const marks = all.map((g) => ({ time: g.date, name: g.superseded ? 'superseded' : 'in force', kind: g.superseded ? 'past' : 'present' }) as const)
  const number = all.length === 1 ? '1 generation' : `${ask.data?.total ?? 0} generations`
  const line = (g: Generation) => snapshotLine(at, suite, g, components, now)
  return (
    <>
      <div class="past">
        <Trouble error={ask.error} />
        <Timeline
          marks={marks}
          now={now}
          label={`${number} of ${suite.name}, with those of the last ${shownDays} days on a line${present ? `; the one of ${moment(present.date)} is in force` : ''}`}
        />
      </div>
      {all.length > 0 && (
        <details>
          <summary>
            {number} of {suite.name}, with lines for sources.list
          </summary>
          {!signed && <p class="detail">No key in the keyring signed this suite: of such a suite, only the generation in force is kept.</p>}
          <ul>
            {all.slice(offset, offset + listed).map((g) => (
              <li key={g.digest}>
                <p class="detail">
                  <b>{moment(g.date)}</b>{' '}
                  {g.superseded ? `in force here from ${moment(g.learned)} to ${moment(g.superseded)}` : `in force here since ${moment(g.learned)}`}
                  {g.valid_until &&
                    (expired(g, now)
                      ? `; apt refuses it since ${moment(g.valid_until)}, unless told not to`
                      : `; valid until ${moment(g.valid_until)}`)}
                </p>
                {g.login ? (
                  <p class="detail">It came with a login: of such suites there are no snapshots.</p>
                ) : (
                  <Code label={`${suite.name} as of ${moment(g.date)}`} text={line(g)} />
                )}
              </li>
            ))}
          </ul>
          {all.length > listed && <Pager offset={offset} limit={listed} total={all.length} onTurn={turn} />}
        </details>
      )}
    </>
  )
}
