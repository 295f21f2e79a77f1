// What a first screen says of a box, or of all, beside what was saved.
import type { ComponentChildren } from 'preact'
import type { Health } from '../health.ts'
import { rate } from '../units.ts'

/** HealthCard is a state in one word, with its reason. */
export function HealthCard({ tone, word, children }: Pick<Health, 'tone' | 'word'> & { children: ComponentChildren }) {
  return (
    <section class={'health ' + tone} aria-labelledby="health-title">
      <h2 id="health-title" class="label">
        Health
      </h2>
      <p class="word" role="status">
        <i aria-hidden="true" />
        {word}
      </p>
      <p class="reason">{children}</p>
    </section>
  )
}

interface NowProps {
  /** Bytes per second. */
  clients: number
  mirrors: number
  peers: number
  children?: ComponentChildren
}

/** Now is how fast bytes come and go. */
export function Now({ clients, mirrors, peers, children }: NowProps) {
  return (
    <section class="now" aria-labelledby="now-title">
      <h2 id="now-title" class="label">
        Now
      </h2>
      <dl>
        <div>
          <dt>To clients</dt>
          <dd>{rate(clients)}</dd>
        </div>
        <div>
          <dt>From mirrors</dt>
          <dd>{rate(mirrors)}</dd>
        </div>
        <div>
          <dt>From peers</dt>
          <dd>{rate(peers)}</dd>
        </div>
      </dl>
      {children}
    </section>
  )
}
