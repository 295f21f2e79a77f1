import type { PageSuite, Suite } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { Trouble } from '../parts.tsx'
import { ago, moment } from '../units.ts'
import { RejectedRelease } from './rejected.tsx'

const words: Record<string, string> = { unchecked: 'not checked', unsigned: 'not signed' }

/** tones are those of the states that look like others. */
const tones: Record<string, string> = { unsigned: 'stale' }

/** SuiteState is what a suite needs most, or that it is fresh, in a word. */
export function SuiteState({ suite: s }: { suite: Pick<Suite, 'state'> & Partial<Pick<Suite, 'reason'>> }) {
  return (
    <span class={'freshness ' + (tones[s.state] ?? s.state)} title={s.reason}>
      <i aria-hidden="true" />
      {words[s.state] ?? s.state}
    </span>
  )
}

/** schemes are by what a suite is reached, where one row stands for several. */
export function schemes(s: Suite): string {
  return s.also.length > 0 ? [s.url, ...s.also].map((url) => url.split(':')[0]).join(' and ') : ''
}

/** shown is how many suites the first screen has room for. */
const shown = 8

export function SuiteList() {
  const ask = useAsk<PageSuite>('suites?limit=' + shown, 15)
  const now = useNow(5)
  const page = ask.data
  return (
    <section class="suites" aria-labelledby="suites-title">
      <h2 id="suites-title" class="label">
        Suites
      </h2>
      <Trouble error={page ? undefined : ask.error} />
      {page?.total === 0 && (
        <p class="quiet">
          None yet. A suite appears here when a client has run <code>apt-get update</code> through this box. <a href="#/setup">Set up a client</a>
        </p>
      )}
      <ul>
        {page?.items.map((s) => (
          <li key={s.url}>
            <SuiteRow suite={s} now={now} changed={ask.again} />
          </li>
        ))}
      </ul>
      {page && page.total > page.items.length && (
        <p>
          <a href="#/packages">All {page.total} suites</a>
        </p>
      )}
    </section>
  )
}

function SuiteRow({ suite: s, now, changed }: { suite: Suite; now: number; changed(): void }) {
  return (
    <>
      <div class="title">
        <b>{s.name}</b>
        <SuiteState suite={s} />
      </div>
      <div class="detail">
        <span class="host" title={schemes(s)}>
          {s.url.replace(/^https?:\/\//, '').replace(/\/dists\/.*/, '')}
        </span>
        <span>{s.checked ? 'checked ' + ago(s.checked, now) : 'from ' + moment(s.date)}</span>
      </div>
      {(s.state === 'stale' || s.state === 'expired') && <div class="detail reason">{s.reason}</div>}
      <RejectedRelease suite={s} changed={changed} />
      {!s.signed && <div class="detail reason">Not signed: {s.unsigned_why}</div>}
      {s.signed && s.shared === 'nobody' && <div class="detail">Not shared: {s.shared_why}</div>}
    </>
  )
}
