import type { Origin, Transfer } from '../api.ts'
import { useNow } from '../ask.ts'
import type { Live } from '../live.ts'
import { Empty, Heading } from '../parts.tsx'
import { bytes, rate, share, span } from '../units.ts'

export function Transfers({ live }: { live: Live }) {
  const all = live.tick?.transfers ?? []
  return (
    <>
      <Heading title="Transfers">
        Downloads under way, each shared by all clients that want the file. Colours say where each part of it came from.
      </Heading>
      {live.tick && all.length === 0 && (
        <Empty title="Nothing is being downloaded.">
          The box fetches a file when a client asks for one that it does not hold. Run apt-get update on a client to see one.
        </Empty>
      )}
      <ul class="rows">
        {all.map((t) => (
          <li key={t.digest || t.url}>
            <Row transfer={t} />
          </li>
        ))}
      </ul>
      <ul class="legend" aria-label="Colours">
        <li class="store">already held</li>
        <li class="peer">from peers</li>
        <li class="mirror">from the mirror</li>
      </ul>
    </>
  )
}

function Row({ transfer: t }: { transfer: Transfer }) {
  const now = useNow(1)
  const seconds = Math.max(1, (now - Date.parse(t.started)) / 1000)
  const fresh = t.spans.filter((s) => s.origin !== 'store').reduce((n, s) => n + s.to - s.from, 0)
  const speed = fresh / seconds
  const left = t.size > 0 && speed > 0 ? (t.size - t.have) / speed : undefined
  return (
    <>
      <div class="head">
        <b>{t.url.split('/').pop()}</b>
        <span>{t.size > 0 ? `${bytes(t.have)} of ${bytes(t.size)} · ${share(t.have, t.size) || '0 %'}` : bytes(t.have)}</span>
      </div>
      <Progress transfer={t} />
      <div class="head detail">
        <span>{t.url.replace(/^https?:\/\//, '').replace(/\/[^/]*$/, '')}</span>
        <span>
          {rate(speed)}
          {left !== undefined && `, ${span(left)} left`} ·{' '}
          {t.clients === 0 ? 'no client waits' : t.clients === 1 ? '1 client' : `${t.clients} clients`}
        </span>
      </div>
    </>
  )
}

const order: Origin[] = ['store', 'peer', 'mirror']

function Progress({ transfer: t }: { transfer: Transfer }) {
  const size = t.size > 0 ? t.size : Math.max(t.have, 1)
  const sources = order
    .map((o) => [o, t.spans.filter((s) => s.origin === o).reduce((n, s) => n + s.to - s.from, 0)] as const)
    .filter(([, n]) => n > 0)
    .map(([o, n]) => `${bytes(n)} from ${o === 'peer' ? 'peers' : 'the ' + o}`)
  return (
    <div
      role="progressbar"
      aria-label={t.url.split('/').pop()}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor((100 * t.have) / size)}
      aria-valuetext={sources.join(', ')}
    >
      <svg class="bar" viewBox="0 0 1000 1" preserveAspectRatio="none" aria-hidden="true">
        <rect class="rest" width="1000" height="1" />
        {t.spans.map((s) => (
          <rect key={s.from} class={s.origin} x={(1000 * s.from) / size} width={(1000 * (s.to - s.from)) / size} height="1" />
        ))}
      </svg>
    </div>
  )
}
