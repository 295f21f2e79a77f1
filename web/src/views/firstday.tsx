// What the first screen shows before the first package: three steps to the
// first client, ticked off as they happen, and what will stand here.
import { useState } from 'preact/hooks'
import type { PageAccount } from '../api.ts'
import { useAsk } from '../ask.ts'
import type { Live } from '../live.ts'
import { Code } from '../parts.tsx'
import { useReach } from '../reach.ts'
import { fallback } from '../setup.ts'
import { AddressChoice } from './setup.tsx'

/** useFirstDay is what of the first steps is done; undefined where they are
 * long past, or not known yet. A page that has seen the first of them undone
 * keeps them until it is closed. */
export function useFirstDay(live: Live): boolean[] | undefined {
  const [over, end] = useState(false)
  const [seen, see] = useState(false)
  const packages = useAsk<PageAccount>('packages?limit=1', over ? undefined : 3).data
  const s = live.tick?.summary
  if (!s || !packages) return undefined
  const done = [s.requests > 0, s.suites > 0, packages.total > 0]
  const all = done.every(Boolean)
  if (all && !over) end(true)
  if (!all && !seen) see(true)
  return seen || !all ? done : undefined
}

export function FirstDay({ done }: { done: boolean[] }) {
  const reach = useReach()
  const steps = [
    {
      title: 'Set up one client',
      body: (
        <>
          <p>Run this on a machine of this network. It writes two small files, and can be undone.</p>
          <AddressChoice of={reach} />
          <Code label="Set up" text={fallback(reach.script)} />
          <p>
            <a href="#/setup">Other ways</a>, for Dockerfiles, Ansible and cloud-init
          </p>
        </>
      ),
    },
    { title: 'Update its lists', body: <Code label="Update" text="sudo apt-get update" /> },
    { title: 'Install or upgrade a package there', body: <Code label="Install" text="sudo apt-get install --reinstall hostname" /> },
  ]
  const next = done.indexOf(false)
  return (
    <section class="firstday" aria-labelledby="firstday-title">
      <h2 id="firstday-title">{next < 0 ? 'The first client is served' : 'Three steps to the first client'}</h2>
      <p class="quiet">
        {next < 0
          ? 'This list goes when the page is loaded again. The second client that asks for the same file gets it from this box, and the mirror is spared.'
          : 'Each is ticked off here when the box sees it happen.'}
      </p>
      <ol>
        {steps.map((s, i) => (
          <li key={s.title} class={done[i] ? 'done' : i === next ? 'next' : undefined}>
            <h3>
              <span class="tick" aria-hidden="true">
                {done[i] ? '✓' : i + 1}
              </span>
              {s.title}
              <span class="unseen" role="status">
                {done[i] ? ', done' : ''}
              </span>
            </h3>
            {!done[i] && s.body}
          </li>
        ))}
      </ol>
    </section>
  )
}

/** WillStand says what the first screen is going to show. */
export function WillStand() {
  return (
    <section class="history willstand" aria-labelledby="willstand-title">
      <h2 id="willstand-title" class="label">
        What will stand here
      </h2>
      <ul>
        <li>
          <b>What was saved</b>: bytes that clients got less bytes that mirrors sent, today, in a week, in a month and ever.
        </li>
        <li>
          <b>Where bytes came from</b>: a bar for each stretch of time, from this box’s store, from other boxes, or from the mirror.
        </li>
        <li>
          <b>Suites</b>: how fresh each of them is, and whether its signature was verified.
        </li>
      </ul>
    </section>
  )
}
