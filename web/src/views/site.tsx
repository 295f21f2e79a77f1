// All boxes of the site together, or another one of them, on the first screen.
import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import {
  admin,
  change,
  type Price,
  part,
  type Site,
  type SiteBox,
  type SiteBoxes,
  type SitePackage,
  type SitePackages,
  type SiteSuites,
} from '../api.ts'
import { type Answer, useAsk, useNow } from '../ask.ts'
import { capital, type Health } from '../health.ts'
import { AskedBack, type Column, Meter, OriginBar, OriginKey, Table, Trouble } from '../parts.tsx'
import { ago, boxName, bytes, count, rate, share } from '../units.ts'
import { HealthCard, Now } from './state.tsx'
import { SuiteState } from './suites.tsx'
import { useWorth } from './worth.tsx'

/** allBoxes is the choice of them all; '' is this box, anything else the ID of another one. */
export const allBoxes = 'all'

/** useSite are the boxes of the site; undefined for a box that stands alone. */
export function useSite(): SiteBox[] | undefined {
  const boxes = useAsk<SiteBoxes>('site/boxes', 15).data?.boxes
  return boxes && boxes.length > 1 ? boxes : undefined
}

const nameOf = (b: SiteBox) => (b.given_name || b.id ? boxName(b) : 'this box')

interface SwitchProps {
  boxes: SiteBox[]
  chosen: string
  choose(id: string): void
}

/** SiteSwitch chooses between all boxes and one. */
export function SiteSwitch({ boxes, chosen, choose }: SwitchProps) {
  return (
    <label class="scope">
      <span>Figures of</span>
      <select value={chosen} onChange={(e) => choose(e.currentTarget.value)}>
        {boxes.map((b) => (
          <option key={b.id} value={b.self ? '' : b.id}>
            {b.self ? `this box${b.given_name ? `, ${b.given_name}` : ''}` : nameOf(b) + marks(b)}
          </option>
        ))}
        <option value={allBoxes}>all {boxes.length} boxes</option>
      </select>
    </label>
  )
}

/** marks says what a reader has to know of a box’s figures. */
function marks(b: SiteBox): string {
  return (b.unproved ? ', unproved' : '') + (b.away ? ', away' : '')
}

/** SiteOverview is the first screen of all boxes, or of another one. */
export function SiteOverview({ boxes, chosen, choose }: SwitchProps) {
  const site = useAsk<Site>('site', 5)
  const one = boxes.find((b) => b.id === chosen)
  const control = <SiteSwitch boxes={boxes} chosen={chosen} choose={choose} />
  return one ? <OneBox of={one}>{control}</OneBox> : <AllBoxes ask={site} boxes={boxes} choose={choose} control={control} />
}

interface AllProps {
  ask: Answer<Site>
  boxes: SiteBox[]
  choose(id: string): void
  control: ComponentChildren
}

function AllBoxes({ ask, boxes, choose, control }: AllProps) {
  const sum = ask.data?.all
  const worth = useWorth({ path: 'site/', query: '&unproved=true', since: sum?.since, cost: useCost() })
  const proved = ask.data?.proved
  const unproved = sum && proved ? sum.saved_bytes - proved.saved_bytes : 0
  const local = sum && proved ? sum.boxes - proved.boxes : 0
  return (
    <>
      <section class="saved" aria-labelledby="saved-title">
        <h1 id="saved-title">Saved from the mirrors, by all boxes together</h1>
        {control}
        <Trouble error={ask.error} />
        {worth.figures}
        {sum && (
          <>
            {local > 0 && (
              <p class="what quiet">
                Of what was ever saved, {bytes(unproved)} is unproved: the figures of {local === 1 ? '1 local box' : `${count(local)} local boxes`},
                which nothing confirms.
              </p>
            )}
            {sum.boxes_away > 0 && (
              <p class="what quiet">
                {sum.boxes_away === 1 ? '1 box is away and counts' : `${count(sum.boxes_away)} boxes are away and count`} with what was last known.
              </p>
            )}
          </>
        )}
      </section>
      <aside class="state" aria-label="State of the site">
        {sum && (
          <SiteHealth status={sum.status}>
            {sum.worst
              ? `${sum.worst.given_name || (sum.worst.box ? boxName({ id: sum.worst.box }) : 'This box')}: ${sum.worst.what}: ${sum.worst.why}${sum.boxes_faulty > 1 ? `; ${count(sum.boxes_faulty)} boxes have faults` : ''}`
              : 'All boxes that are here are well.'}
          </SiteHealth>
        )}
        {sum && (
          <Figures
            clients={(sum.clients_exact ? '' : 'about ') + count(sum.clients)}
            packages={(sum.packages_exact ? '' : 'about ') + count(sum.packages)}
            held={sum.blob_bytes}
            quota={sum.quota_bytes}
            rates={sum.rates}
          />
        )}
      </aside>
      <div class="history section">
        {worth.history}
        <section class="section" aria-labelledby="boxes">
          <h2 id="boxes" class="label">
            Boxes
          </h2>
          <OriginKey />
          <Boxes boxes={boxes} choose={choose} />
        </section>
      </div>
      <Suites />
      <Packages />
    </>
  )
}

/** useCost is what an administrator of this box says that a gigabyte costs. */
const useCost = () => useAsk<Price>('price', 60).data

function OneBox({ of: b, children }: { of: SiteBox; children: ComponentChildren }) {
  const now = useNow(10)
  const fault = b.faults[0]
  const worth = useWorth({ path: 'site/', query: '&box=' + encodeURIComponent(b.id), since: b.since, cost: useCost() })
  return (
    <>
      <section class="saved" aria-labelledby="saved-title">
        <h1 id="saved-title">Saved from the mirrors, by {nameOf(b)}</h1>
        {children}
        {worth.figures}
        <>
          {b.unproved && <p class="what quiet">Unproved: the figures of a local box, which nothing confirms.</p>}
          {b.away && <p class="what quiet">Away: these are its figures of {ago(b.seen, now)}.</p>}
        </>
      </section>
      <aside class="state" aria-label="State of the box">
        {b.away ? (
          <SiteHealth status="away">Not connected to this box since {ago(b.seen, now)}.</SiteHealth>
        ) : (
          <SiteHealth status={b.status}>{fault ? `${capital(fault.what)}: ${fault.why}` : 'It reports no fault.'}</SiteHealth>
        )}
        <Figures clients={count(b.clients)} packages={count(b.packages)} held={b.blob_bytes} quota={b.quota_bytes} rates={b.rates} />
      </aside>
      {worth.history}
    </>
  )
}

const words: Record<string, [string, Health['tone']]> = {
  ok: ['Healthy', 'good'],
  degraded: ['Degraded', 'warn'],
  unavailable: ['Down', 'bad'],
  away: ['Away', 'quiet'],
}

function SiteHealth({ status, children }: { status: string; children: ComponentChildren }) {
  const [word, tone] = words[status]!
  return (
    <HealthCard tone={tone} word={word}>
      {children}
    </HealthCard>
  )
}

interface FiguresProps {
  clients: string
  packages: string
  held: number
  quota: number
  rates: SiteBox['rates']
}

function Figures({ clients, packages, held, quota, rates }: FiguresProps) {
  return (
    <>
      <dl class="glance">
        <div>
          <dt>Clients</dt>
          <dd>{clients}</dd>
        </div>
        <div>
          <dt>Packages</dt>
          <dd>{packages}</dd>
        </div>
        <div>
          <dt>Disk</dt>
          <dd>
            {share(held, quota) || '0\u00a0%'} <small>of {bytes(quota)}</small>
            <Meter value={held} of={quota} label="Held, of what may be held" />
          </dd>
        </div>
      </dl>
      <Now clients={rates.client_bytes} mirrors={rates.mirror_bytes} peers={rates.peer_bytes_in} />
    </>
  )
}

function Boxes({ boxes, choose }: { boxes: SiteBox[]; choose(id: string): void }) {
  const now = useNow(10)
  const most = Math.max(0, ...boxes.map((b) => b.client_bytes))
  const columns: Column<SiteBox>[] = [
    {
      id: 'box',
      name: 'Box',
      cell: (b) => (
        <>
          <button type="button" class="link" onClick={() => choose(b.self ? '' : b.id)}>
            {b.self ? `this box${b.given_name ? `, ${b.given_name}` : ''}` : nameOf(b)}
          </button>
          <small>{[b.kind, b.unproved && 'unproved', b.away && `away since ${ago(b.seen, now)}`].filter(Boolean).join(', ')}</small>
        </>
      ),
    },
    {
      id: 'state',
      name: 'State',
      cell: (b) => <span class={'freshness ' + tones[b.away ? 'away' : b.status]}>{states[b.away ? 'away' : b.status]}</span>,
    },
    { id: 'origin', name: 'To clients, by where it came from', cell: (b) => <OriginBar of={b} most={most} /> },
    { id: 'saved', name: 'Saved', number: true, cell: (b) => bytes(b.saved_bytes) },
    { id: 'bytes', name: 'To clients', number: true, cell: (b) => bytes(b.client_bytes) },
    { id: 'clients', name: 'Clients', number: true, cell: (b) => count(b.clients) },
    { id: 'rate', name: 'Now', number: true, cell: (b) => (b.away ? '–' : rate(b.rates.client_bytes)) },
  ]
  if (admin.known && boxes.some((b) => b.away)) {
    columns.push({ id: 'actions', name: 'Actions', cell: (b) => b.away && <Forget box={b} /> })
  }
  return <Table label="Boxes" columns={columns} rows={boxes} name={(b) => b.id} />
}

/** Forget takes a box that does not come back out of the sums. */
function Forget({ box: b }: { box: SiteBox }) {
  const [said, say] = useState('')
  const forget = async () => {
    try {
      await change('DELETE', 'site/boxes/' + part(b.id))
      say('Forgotten.')
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <div class="actions">
      <AskedBack label="Forget" sure="Forget for good" no="Keep" about={nameOf(b)} act={forget} />
      <span role="status">{said}</span>
    </div>
  )
}

const states: Record<string, string> = { ok: 'healthy', degraded: 'degraded', unavailable: 'down', away: 'away' }
const tones: Record<string, string> = { ok: 'fresh', degraded: 'stale', unavailable: 'expired', away: 'unchecked' }

/** packagesShown is how many there is room for. */
const packagesShown = 10

function Packages() {
  const ask = useAsk<SitePackages>('site/packages', 30)
  const all = ask.data?.packages ?? []
  const columns: Column<SitePackage>[] = [
    { id: 'package', name: 'Package', cell: (p) => <a href={'#/packages/' + part(p.name)}>{p.name}</a> },
    { id: 'saved', name: 'Saved', number: true, cell: (p) => bytes(p.saved_bytes) },
    { id: 'bytes', name: 'To clients', number: true, cell: (p) => bytes(p.client_bytes) },
    { id: 'boxes', name: 'Boxes', number: true, cell: (p) => count(p.boxes) },
  ]
  if (all.length === 0) return null
  return (
    <section class="history section" aria-labelledby="packages-title">
      <h2 id="packages-title" class="label">
        Packages that saved most
      </h2>
      <p class="quiet">Each box tells of the 100 that it saved most with.</p>
      <Table label="Packages that saved most" columns={columns} rows={all.slice(0, packagesShown)} name={(p) => p.name} />
    </section>
  )
}

/** suitesShown is how many there is room for. */
const suitesShown = 8

function Suites() {
  const ask = useAsk<SiteSuites>('site/suites', 30)
  const now = useNow(10)
  const all = ask.data?.suites ?? []
  return (
    <section class="suites" aria-labelledby="suites-title">
      <h2 id="suites-title" class="label">
        Suites
      </h2>
      <Trouble error={ask.error} />
      <ul>
        {all.slice(0, suitesShown).map((s) => (
          <li key={s.url}>
            <div class="title">
              <b>{s.url.replace(/.*\/dists\//, '')}</b>
              <SuiteState suite={s} />
            </div>
            <div class="detail">
              <span class="host">{s.url.replace(/^https?:\/\//, '').replace(/\/dists\/.*/, '')}</span>
              <span>{[s.checked && 'checked ' + ago(s.checked, now), s.boxes === 1 ? '1 box' : `${s.boxes} boxes`].filter(Boolean).join(', ')}</span>
            </div>
            {s.unproved && <div class="detail">unproved: only local boxes have it</div>}
          </li>
        ))}
      </ul>
      {all.length > suitesShown && <p class="quiet">and {count(all.length - suitesShown)} more</p>}
    </section>
  )
}
