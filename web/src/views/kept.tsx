import type { Keep, KeptSlice } from '../api.ts'
import { address, archiveName, type System, systems } from '../archive.ts'
import { type Answer, useNow } from '../ask.ts'
import { Empty, Meter, Section, Trouble } from '../parts.tsx'
import { ago, bytes, count, moment } from '../units.ts'

/** Kept are the slices that the box holds complete, and how far it is with them. */
export function Kept({ ask }: { ask: Answer<Keep> }) {
  const slices = ask.data?.slices
  return (
    <Section
      id="kept"
      title="Kept complete"
      about={
        <>
          Packages that <code>MILLPOND_FOLLOW</code> selects, with what they depend on, held whether or not a client asks. Suites of one system change
          to a newer generation together, once all of it is here.
        </>
      }
    >
      <Trouble error={ask.error} />
      {slices?.length === 0 && (
        <Empty title="Nothing is kept complete.">
          An entry of <code>MILLPOND_FOLLOW</code> does so that ends with what it selects, such as <code>priority:important</code>,{' '}
          <code>section:admin</code> or <code>package:nginx</code>.
        </Empty>
      )}
      {slices && systems(slices).map((s) => <OneSystem key={s.name} of={s} />)}
    </Section>
  )
}

function OneSystem({ of: s }: { of: System }) {
  const now = useNow(10)
  const lacks = s.lacks.length + s.more
  return (
    <div class="system" role="group" aria-label={s.name ? `System ${s.name}` : 'System not known yet'}>
      <h3>{s.name ? `System ${s.name}` : 'System not known yet'}</h3>
      <ul class="rows">
        {s.slices.map((k) => (
          <li key={k.suite}>
            <Slice of={k} now={now} />
          </li>
        ))}
      </ul>
      {lacks > 0 && (
        <details>
          <summary>
            {lacks === 1 ? '1 dependency' : `${count(lacks)} dependencies`} of {s.name} that none of its suites satisfies
          </summary>
          <ul>
            {s.lacks.map((l) => (
              <li key={l.package + l.needs} class="detail">
                <b>{l.package}</b> needs {l.needs}
              </li>
            ))}
            {s.more > 0 && <li class="detail">and {count(s.more)} more</li>}
          </ul>
        </details>
      )}
    </div>
  )
}

const states: Record<KeptSlice['state'], [string, string]> = {
  complete: ['complete', 'fresh'],
  fetching: ['fetching', 'unchecked'],
  incomplete: ['incomplete', 'expired'],
  failing: ['failing', 'stale'],
}

function Slice({ of: s, now }: { of: KeptSlice; now: number }) {
  const [word, freshness] = states[s.state]
  const { suite } = address(s.suite)
  return (
    <>
      <div class="head">
        <b>
          {suite} <small>{archiveName(s.suite)}</small>
        </b>
        <span class={'freshness ' + freshness}>
          <i aria-hidden="true" />
          {word}
        </span>
      </div>
      {s.complete ? (
        <p>
          Complete in the generation of {s.complete_date ? moment(s.complete_date) : 'an unknown date'}
          {s.since && ` since ${moment(s.since)}, ${ago(s.since, now)}`}: {count(s.complete_files)} files, {bytes(s.complete_bytes)}
        </p>
      ) : (
        <p>Complete in no generation yet</p>
      )}
      {s.wanted !== s.complete && s.wanted && (
        <div class="measure">
          <Meter value={s.bytes_held} of={s.bytes} label={`Held of ${suite}`} />
          <span class="detail">
            Of the generation of {s.wanted_date ? moment(s.wanted_date) : 'an unknown date'}, {bytes(s.bytes_held)} of {bytes(s.bytes)} are here,{' '}
            {count(s.files_held)} of {count(s.files)} files
          </span>
        </div>
      )}
      {s.files_gone > 0 && (
        <p class="gone">
          {s.files_gone === 1
            ? '1 file of the complete generation is missing and is'
            : `${count(s.files_gone)} files of the complete generation are missing and are`}{' '}
          fetched again
        </p>
      )}
      {s.fault && <p class="fault">{s.fault}</p>}
    </>
  )
}
