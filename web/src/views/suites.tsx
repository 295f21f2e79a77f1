import type { PageSuite, Suite } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { Trouble } from '../parts.tsx'
import { merged } from '../suites.ts'
import { ago, moment } from '../units.ts'
import { RejectedRelease } from './rejected.tsx'

const words: Record<Suite['state'], string> = {
  fresh: 'fresh',
  stale: 'stale',
  expired: 'expired',
  unsigned: 'not signed',
  unchecked: 'not checked',
}

/** SuiteState is how fresh a suite is, in a word; one that is not signed is not simply well. */
export function SuiteState({ suite: s }: { suite: Suite }) {
  const unsigned = s.state === 'fresh' && !s.signed
  return (
    <span class={'freshness ' + (unsigned ? 'stale' : s.state)} title={s.reason}>
      <i aria-hidden="true" />
      {words[s.state]}
      {unsigned && ', not signed'}
    </span>
  )
}

/** shown is how many suites the first screen has room for. */
const shown = 8

export function SuiteList() {
  const ask = useAsk<PageSuite>('suites?limit=' + shown, 15)
  const now = useNow(5)
  const page = ask.data
  const rows = page && merged(page.items)
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
        {rows?.map((s) => (
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
        <span class="host">{s.url.replace(/^https?:\/\//, '').replace(/\/dists\/.*/, '')}</span>
        <span>{s.checked ? 'checked ' + ago(s.checked, now) : s.date && 'from ' + moment(s.date)}</span>
      </div>
      {(s.state === 'stale' || s.state === 'expired') && <div class="detail reason">{s.reason}</div>}
      <RejectedRelease suite={s} changed={changed} />
      {!s.signed && <div class="detail reason">{s.unsigned_why}</div>}
      {s.signed && s.shared === 'nobody' && <div class="detail">Not shared: {s.shared_why}</div>}
    </>
  )
}
