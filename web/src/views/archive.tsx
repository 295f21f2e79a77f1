import { useState } from 'preact/hooks'
import type { Keep, PageFollowedSuite, Prefetch, RingList } from '../api.ts'
import { partsOf } from '../archive.ts'
import { useAdmin, useAsk } from '../ask.ts'
import { Heading } from '../parts.tsx'
import { useReach } from '../reach.ts'
import { bytes, count, day, share } from '../units.ts'
import { PrefetchAccount } from './account.tsx'
import { FollowedSuites, suitesShown } from './followed.tsx'
import { Kept } from './kept.tsx'
import { Rings } from './rings.tsx'

/** ArchiveView is what the box does ahead of its clients, and with the past. */
export function ArchiveView() {
  const [offset, turn] = useState(0)
  const follow = useAsk<PageFollowedSuite>(`follow?limit=${suitesShown}&offset=${offset}`, 15)
  const rings = useAsk<RingList>('rings', 15)
  const prefetch = useAsk<Prefetch>('prefetch', 15)
  const keep = useAsk<Keep>('keep', 10)
  const may = useAdmin()
  const { at } = useReach()
  return (
    <>
      <Heading title="Archive">
        What this box keeps up to date before clients ask, what that cost, and what it has of the past: generations, each of them one Release of a
        suite with all that belongs to it.
      </Heading>
      <Facts follow={follow.data} rings={rings.data} prefetch={prefetch.data} keep={keep.data} />
      <FollowedSuites ask={follow} at={at} onTurn={turn} />
      <Rings ask={rings} may={may} at={at} />
      <PrefetchAccount ask={prefetch} />
      <Kept ask={keep} />
    </>
  )
}

interface FactsProps {
  follow: PageFollowedSuite | undefined
  rings: RingList | undefined
  prefetch: Prefetch | undefined
  keep: Keep | undefined
}

function Facts({ follow, rings, prefetch, keep }: FactsProps) {
  const parts = prefetch && partsOf(prefetch.total)
  const kept = keep?.slices ?? []
  const complete = kept.filter((s) => s.state === 'complete').length
  const held = rings?.rings.reduce((n, r) => n + r.held, 0) ?? 0
  return (
    <dl class="facts">
      <div>
        <dt>Followed suites</dt>
        <dd>{follow ? count(follow.total) : '–'}</dd>
      </div>
      <div>
        <dt>Rings</dt>
        <dd>
          {rings ? count(rings.rings.length) : '–'}
          {held > 0 && <small>{held === 1 ? '1 suite is held' : `${count(held)} suites are held`}</small>}
        </dd>
      </div>
      <div>
        <dt>Fetched ahead and used</dt>
        <dd>
          {parts ? share(parts.used, parts.fetched) || 'none yet' : '–'}
          {parts && parts.fetched > 0 && <small>{`of ${bytes(parts.fetched)} since ${day(prefetch.since)}`}</small>}
        </dd>
      </div>
      <div>
        <dt>Kept complete</dt>
        <dd>
          {keep ? (kept.length === 0 ? 'nothing' : `${complete} of ${kept.length}`) : '–'}
          {kept.length > 0 && <small>suites of MILLPOND_FOLLOW with a selection</small>}
        </dd>
      </div>
    </dl>
  )
}
