import type { PageSuite, Settings } from '../api.ts'
import { useAsk } from '../ask.ts'
import { Code, Heading } from '../parts.tsx'
import { type Reach, useReach } from '../reach.ts'
import { addressFor, byName, fallback, hostsOf, type Source, sources, ways } from '../setup.ts'

const kinds: Record<string, string> = {
  request: 'as you reach it now',
  setting: 'named in MILLPOND_DASHBOARD_ACCESS',
  interface: 'address of',
  hostname: 'the machine’s own name',
}

/** AddressChoice chooses by which name or address clients reach the box. */
export function AddressChoice({ of: r }: { of: Reach }) {
  if (r.addresses.length < 2) return null
  return (
    <div class="way">
      <label class="search">
        <span>{r.local ? 'Clients cannot reach the box as you do now: choose how they do' : 'How clients reach the box'}</span>
        <select value={r.at} onChange={(e) => r.choose(e.currentTarget.value)}>
          {r.addresses.map((a) => (
            <option key={a.address} value={a.address}>
              {`${a.address}, ${kinds[a.kind]}${a.via && ' ' + a.via}`}
            </option>
          ))}
        </select>
      </label>
    </div>
  )
}

interface ByNameProps {
  at: string
  known: Source[]
  settings: Settings | undefined
}

/** ByName has the lines for the network's DNS server, which leads the archives' names to the box. */
function ByName({ at, known, settings }: ByNameProps) {
  const value = (name: string) => settings?.settings.find((s) => s.name === name)?.value ?? ''
  const { address, isKnown } = addressFor(at)
  return (
    <details class="fold">
      <summary>By name, in the network’s DNS</summary>
      <div class="way">
        <p>The DNS server leads the archives’ names to the box, and clients need no setting at all. Clients cannot update while the box is down.</p>
        {settings && (!value('MILLPOND_HOSTS') || !value('MILLPOND_RESOLVER')) && (
          <p role="note">
            <strong>
              {value('MILLPOND_HOSTS')
                ? 'The box has no MILLPOND_RESOLVER: these names would lead it back to itself, and every update would fail. Set it first to a DNS server without these lines.'
                : 'The box does not take these names yet. First set MILLPOND_HOSTS=default, MILLPOND_RESOLVER to a DNS server without these lines, and MILLPOND_LISTEN=:3142,:80,:443.'}
            </strong>
          </p>
        )}
        {!isKnown && <p>Put the box’s address in place of ADDRESS.</p>}
        {byName(address, hostsOf(known)).map((s) => (
          <div key={s.server}>
            <p>{s.server}</p>
            <Code label={s.server} text={s.lines} />
          </div>
        ))}
      </div>
    </details>
  )
}

export function Setup() {
  const reach = useReach()
  const { at, script } = reach
  const suites = useAsk<PageSuite>('suites?limit=50').data
  const settings = useAsk<Settings>('settings').data
  const known = sources(suites?.items ?? [])
  return (
    <>
      <Heading title="Set up a client">
        One line on each machine. apt asks a probe about each host: away from this network, with the box down, or for what the box does not take, it
        goes there directly.
      </Heading>
      <AddressChoice of={reach} />
      <section class="way" aria-label="In one line">
        <Code label="Set up" text={fallback(script)} />
        <p>
          apt itself fetches the script, so that this works on every Debian and Ubuntu machine. It writes two small files and can be run again at any
          time. <a href="setup.sh">Read the script</a> first if you like. With curl, or with wget:
        </p>
        <Code label="With curl" text={`curl -fsS ${script} | sudo sh`} />
        <Code label="With wget" text={`wget -qO- ${script} | sudo sh`} />
        <p>To undo it:</p>
        <Code label="Undo" text={fallback(script, ' --remove')} />
      </section>
      <section class="section" aria-labelledby="ways">
        <h2 id="ways">Other ways</h2>
        {ways(at, known).map((w) => (
          <details class="fold" key={w.title}>
            <summary>{w.title}</summary>
            <div class="way">
              {w.text && <p>{w.text}</p>}
              <Code label={w.title} text={w.code} />
            </div>
          </details>
        ))}
        <ByName at={at} known={known} settings={settings} />
      </section>
    </>
  )
}
