import { useState } from 'preact/hooks'
import { change, type PageRingSuite, part, type Ring, type RingList } from '../api.ts'
import { rule } from '../archive.ts'
import { type Answer, type useAdmin, useAsk, useNow } from '../ask.ts'
import { AskedBack, Empty, Meter, Pager, Section, Trouble } from '../parts.tsx'
import { bytes, count } from '../units.ts'
import { Lane } from './lane.tsx'
import { NewRing } from './newring.tsx'

/** lanesShown is how many suites of a ring are shown at once. */
const lanesShown = 20

interface RingsProps {
  ask: Answer<RingList>
  may: ReturnType<typeof useAdmin>
  /** at is the box's address for clients. */
  at: string
}

export function Rings({ ask, may, at }: RingsProps) {
  const all = ask.data?.rings
  return (
    <Section
      id="rings"
      title="Rings"
      about={
        <>
          Clients that get updates later than others, or as an administrator says. Each has of a suite one generation with all that belongs to it,
          signed by the archive. {may === 'off' && 'Rings are changed by admin actions, and those are off (MILLPOND_ADMIN_TOKEN).'}
          {may === 'asked' && (
            <>
              Rings are changed by admin actions: <a href="#/settings">give the token</a> to see the buttons here.
            </>
          )}
        </>
      }
    >
      <Trouble error={ask.error} />
      {all?.length === 0 && (
        <Empty title="There is no ring.">
          All clients get what is in force. <code>MILLPOND_RINGS="canary; prod after=canary delay=3d security=now"</code> makes two: what is in force,
          and what that had three days ago.
        </Empty>
      )}
      {all?.map((r) => (
        <OneRing key={r.name} ring={r} may={may === 'given'} at={at} changed={ask.again} />
      ))}
      {may === 'given' && all && <NewRing rings={all} made={ask.again} />}
    </Section>
  )
}

interface RingProps {
  ring: Ring
  may: boolean
  at: string
  changed(): void
}

function OneRing({ ring: r, may, at, changed }: RingProps) {
  const [offset, turn] = useState(0)
  const ask = useAsk<PageRingSuite>(`rings/${part(r.name)}/suites?limit=${lanesShown}&offset=${offset}`, 15)
  const now = useNow(10)
  const page = ask.data
  const again = () => {
    ask.again()
    changed()
  }
  return (
    <div class="ring" role="group" aria-label={'Ring ' + r.name}>
      <div class="of">
        <h3>{r.name}</h3>
        <p>{rule(r)}</p>
        <p class="detail">
          {r.clients.length > 0 && <>Clients {r.clients.join(', ')}, and those with </>}
          {r.clients.length === 0 && 'Clients have '}
          <code>{`http://${at}/ring/${r.name}/`}</code> before the archive’s host in sources.list.
        </p>
        <div class="measure">
          <Meter value={r.bytes} of={r.share} label={`Packages held for ${r.name}, of what may be held`} />
          <span class="detail">
            {bytes(r.bytes)} of packages that its clients used are held, of {bytes(r.share)}
          </span>
        </div>
        {r.full && (
          <p class="fault">
            Its share is used up: packages that its clients used can be evicted, and may be gone from the mirror when they ask again.
          </p>
        )}
        {may && <Whole ring={r} behind={page?.items.some((s) => s.latest) ?? false} changed={again} />}
      </div>
      <Trouble error={ask.error} />
      {page && page.total === 0 && <p class="quiet">None of its clients has used a signed suite yet.</p>}
      <ul class="lanes">
        {page?.items.map((s) => (
          <li key={s.suite}>
            <Lane ring={r.name} of={s} may={may} now={now} changed={again} />
          </li>
        ))}
      </ul>
      {page && page.total > lanesShown && <Pager offset={page.offset} limit={lanesShown} total={page.total} onTurn={turn} />}
    </div>
  )
}

interface WholeProps {
  ring: Ring
  /** behind is whether a promotion would bring something. */
  behind: boolean
  changed(): void
}

/** Whole is what can be done with a ring and all of its suites. */
function Whole({ ring: r, behind, changed }: WholeProps) {
  const [said, say] = useState('')
  const act = async (done: string, method: 'POST' | 'DELETE', path: string, body?: unknown) => {
    say('…')
    try {
      await change(method, `rings/${part(r.name)}${path}`, body)
      say(done)
      changed()
    } catch (e) {
      say((e as Error).message)
    }
  }
  const all = `all suites of ${r.name}`
  return (
    <div class="actions">
      {r.suites > 1 && (
        <>
          {behind && <AskedBack label="Promote all" sure="Promote all now" about={all} act={() => act('Promoted.', 'POST', '/promote', {})} />}
          {r.held < r.suites && (
            <AskedBack label="Hold all" sure="Hold all now" about={all} act={() => act('Held.', 'POST', '/hold', { hold: true })} />
          )}
          {r.held > 0 && (
            <AskedBack
              label="End all holds"
              sure="End all holds now"
              about={all}
              act={() => act('No suite is held any more.', 'POST', '/hold', { hold: false })}
            />
          )}
        </>
      )}
      {r.setting ? (
        <span class="detail">{r.suites > 1 ? '' : 'It is one of MILLPOND_RINGS, and is changed there.'}</span>
      ) : (
        <AskedBack label="Delete" sure="Delete for good" about={'the ring ' + r.name} act={() => act('Deleted.', 'DELETE', '')} />
      )}
      <span role="status">{said}</span>
      <span class="detail">{r.held > 0 && `${count(r.held)} of ${count(r.suites)} held`}</span>
    </div>
  )
}
