import { useEffect, useState } from 'preact/hooks'
import { change, type Prefetch, type Suite } from '../api.ts'
import { type Answer, useAdmin, useAsk, useNow } from '../ask.ts'
import { Meter } from '../parts.tsx'
import { files, result } from '../prefetch.ts'
import { ago, bytes, count } from '../units.ts'

/** usePrefetch follows the running prefetch, or has the last one. */
export function usePrefetch(): Answer<Prefetch> {
  const [every, setEvery] = useState(15)
  const ask = useAsk<Prefetch>('prefetch', every)
  const running = ask.data?.running
  useEffect(() => setEvery(running ? 1 : 15), [running])
  return ask
}

interface PrefetchProps {
  ask: Answer<Prefetch>
  suites: Suite[]
}

/** PrefetchPanel starts a prefetch of all suites and shows its progress. */
export function PrefetchPanel({ ask, suites }: PrefetchProps) {
  const may = useAdmin()
  return (
    <div class="prefetch">
      <p class="quiet text-small">
        Prefetching takes the newer versions of packages that clients had through this box before the first of them asks, as far as there is room.{' '}
        {may === 'off' && 'It is an admin action, and those are off (MILLPOND_ADMIN_TOKEN).'}
        {may === 'asked' && (
          <>
            It is an admin action: <a href="#/settings">give the token</a> to see its button here.
          </>
        )}
      </p>
      {may === 'given' && <PrefetchButton label="Prefetch all suites now" running={ask.data?.running} started={ask.again} />}
      {ask.data && <Progress of={ask.data} suites={suites} />}
    </div>
  )
}

interface ButtonProps {
  label: string
  /** suite is the URL of the only one. */
  suite?: string
  running: boolean | undefined
  started(): void
}

export function PrefetchButton({ label, suite, running, started }: ButtonProps) {
  const [said, say] = useState('')
  const start = async () => {
    say('…')
    try {
      await change('POST', 'prefetch', suite ? { suite } : {})
      say('')
      started()
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <div class="actions">
      <button type="button" disabled={running} onClick={start}>
        {label}
      </button>
      <span role="status">{said}</span>
    </div>
  )
}

function Progress({ of: p, suites }: { of: Prefetch; suites: Suite[] }) {
  const now = useNow(10)
  if (!p.running && !p.ended) return null
  const suite = p.suite ? (suites.find((s) => s.url === p.suite)?.name ?? p.suite) : p.automatic ? 'the suites that changed' : 'all suites'
  // Only what changes once is a status: a count would be read out every second.
  if (!p.running) {
    return (
      <p>
        <b>
          Prefetch of {suite}, {ago(p.ended, now)}:
        </b>{' '}
        <span role="status">{result(p)}</span>
      </p>
    )
  }
  return (
    <div>
      <p>
        <b role="status">Prefetching {suite}:</b>{' '}
        {p.files === 0
          ? 'reading what the indices list …'
          : `${count(p.files_done)} of ${files(p.files)}, ${bytes(p.bytes_done)} of ${bytes(p.bytes)}`}
      </p>
      <Meter value={p.bytes_done} of={p.bytes} label="Prefetched" />
    </div>
  )
}
