// Small parts that several views are made of.
import type { ComponentChildren } from 'preact'
import { useId, useState } from 'preact/hooks'
import { type Counts, change, type Origin, part } from './api.ts'
import { others } from './privacy.ts'
import { useNarrow } from './screen.ts'
import { amount, count, share } from './units.ts'

export function Amount({ of }: { of: number }) {
  const a = amount(of)
  return (
    <>
      {a.number}
      <span class="unit">{'\u00a0' + a.unit}</span>
    </>
  )
}

export function Heading({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="heading">
      <h1>{title}</h1>
      {children && <p>{children}</p>}
    </div>
  )
}

interface SectionProps {
  id: string
  title: string
  /** about is what it shows, in a line. */
  about?: ComponentChildren
  children: ComponentChildren
}

/** Section is a part of a view that a narrow screen shows once it is asked for. */
export function Section({ id, title, about, children }: SectionProps) {
  const narrow = useNarrow()
  const [open, show] = useState(false)
  return (
    <section class="section" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {about && <p class="quiet text-small">{about}</p>}
      {narrow && !open ? (
        <button type="button" aria-label={'Show: ' + title} onClick={() => show(true)}>
          Show
        </button>
      ) : (
        children
      )}
    </section>
  )
}

/** Empty says what there would be, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  )
}

export function Trouble({ error }: { error: Error | undefined }) {
  return (
    <p class="trouble" role="alert" hidden={!error}>
      {error?.message}
    </p>
  )
}

interface AskedBackProps {
  label: string
  /** sure is the label of the second button, which acts. */
  sure: string
  /** about is what is acted on, for those who do not see where the button stands. */
  about: string
  no?: string
  act(): Promise<void>
}

/** AskedBack is a button that asks back before it acts. */
export function AskedBack({ label, sure, about, no = 'Leave it', act }: AskedBackProps) {
  const [asked, ask] = useState(false)
  if (!asked) {
    return (
      <button type="button" aria-label={`${label} ${about}`} onClick={() => ask(true)}>
        {label}
      </button>
    )
  }
  const go = async () => {
    await act()
    ask(false)
  }
  return (
    <>
      <button type="button" aria-label={`${sure}: ${about}`} onClick={go}>
        {sure}
      </button>
      <button type="button" onClick={() => ask(false)}>
        {no}
      </button>
    </>
  )
}

/** Reveal is a button that opens a note above the page. */
export function Reveal({ label, title, children }: { label: string; title: string; children: ComponentChildren }) {
  const id = useId()
  return (
    <>
      <button type="button" class="link" popovertarget={id}>
        {label}
      </button>
      <div class="note" popover="auto" id={id} role="dialog" aria-label={title}>
        <h2>{title}</h2>
        {children}
        <button type="button" popovertarget={id} popovertargetaction="hide">
          Close
        </button>
      </div>
    </>
  )
}

const names: Record<Origin, string> = { store: 'store', peer: 'peers', mirror: 'mirror' }

/** OriginBar shows where the bytes of something came from, and how many there
 * are beside the most of its list. */
export function OriginBar({ of, most }: { of: Counts; most?: number }) {
  const whole = of.client_bytes_from_store + of.client_bytes_from_peers + of.client_bytes_from_mirror
  const length = Math.max(whole, most ?? 0)
  const parts: [Origin, number][] = [
    ['store', of.client_bytes_from_store],
    ['peer', of.client_bytes_from_peers],
    ['mirror', of.client_bytes_from_mirror],
  ]
  const label = parts.map(([o, n]) => `${share(n, whole) || '0 %'} ${names[o]}`).join(', ')
  let x = 0
  return (
    <svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="rest" width="100" height="1" />
      {whole > 0 &&
        parts.map(([origin, n]) => {
          const at = x
          x += (100 * n) / length
          return <rect key={origin} class={origin} x={at} width={(100 * n) / length} height="1" />
        })}
    </svg>
  )
}

/** OriginKey explains the colours of OriginBar, with the shares of one. */
export function OriginKey({ of }: { of?: Counts }) {
  const part = (n: number) => of && ' ' + (share(n, of.client_bytes) || '0 %')
  return (
    <ul class="legend" aria-label="Colours">
      <li class="store">from the store{part(of?.client_bytes_from_store ?? 0)}</li>
      <li class="peer">from peers{part(of?.client_bytes_from_peers ?? 0)}</li>
      <li class="mirror">from the mirror{part(of?.client_bytes_from_mirror ?? 0)}</li>
    </ul>
  )
}

/** Meter is how much there is of a whole. */
export function Meter({ value, of, label }: { value: number; of: number; label: string }) {
  const part = of > 0 ? Math.min(1, value / of) : 0
  return (
    <svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label={`${label}: ${share(value, of) || '0 %'}`}>
      <rect class="rest" width="100" height="1" />
      <rect class="store" width={100 * part} height="1" />
    </svg>
  )
}

export interface Column<T> {
  id: string
  name: string
  /** number columns stand to the right. */
  number?: boolean
  sort?: boolean
  cell(row: T): ComponentChildren
}

/** useFirst has the first of a list on a narrow screen, where each row takes
 * several lines, until the reader asks for the others with the button. */
export function useFirst<T>(all: T[], first: number): [T[], ComponentChildren] {
  const narrow = useNarrow()
  const [whole, show] = useState(false)
  if (!narrow || whole || all.length <= first + 1) return [all, null]
  return [
    all.slice(0, first),
    <button type="button" class="more" onClick={() => show(true)}>
      Show {count(all.length - first)} more
    </button>,
  ]
}

interface TableProps<T> {
  label: string
  columns: Column<T>[]
  rows: T[]
  /** first is how many rows a narrow screen shows at first. */
  first?: number
  name(row: T): string
  sort?: string
  onSort?(id: string): void
}

export function Table<T>({ label, columns, rows, first = 5, name, sort, onSort }: TableProps<T>) {
  const [shown, more] = useFirst(rows, first)
  return (
    <>
      <div class="scroll" tabIndex={0} role="region" aria-label={label}>
        <table>
          <thead>
            <tr>
              {columns.map((c) => (
                <th
                  key={c.id}
                  scope="col"
                  class={c.number ? 'number' : undefined}
                  aria-sort={c.sort && sort === c.id ? (c.number ? 'descending' : 'ascending') : undefined}
                >
                  {c.sort && onSort ? (
                    <button type="button" onClick={() => onSort(c.id)}>
                      {c.name}
                    </button>
                  ) : (
                    c.name
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr key={name(row)}>
                {columns.map((c, i) =>
                  i === 0 ? (
                    <th key={c.id} scope="row">
                      {c.cell(row)}
                    </th>
                  ) : (
                    <td key={c.id} class={c.number ? 'number' : undefined} data-name={c.name}>
                      {c.cell(row)}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more}
    </>
  )
}

export function Pager({ offset, limit, total, onTurn }: { offset: number; limit: number; total: number; onTurn(offset: number): void }) {
  if (total === 0) return null
  if (offset === 0 && total <= limit) return <p class="pager">{total === 1 ? '1 in all' : `${total} in all`}</p>
  return (
    <nav class="pager" aria-label="Pages">
      <button type="button" disabled={offset === 0} onClick={() => onTurn(Math.max(0, offset - limit))}>
        Back
      </button>
      <span aria-live="polite">
        {offset + 1} to {Math.min(total, offset + limit)} of {total}
      </span>
      <button type="button" disabled={offset + limit >= total} onClick={() => onTurn(offset + limit)}>
        More
      </button>
    </nav>
  )
}

export function Search({ label, value, onInput }: { label: string; value: string; onInput(value: string): void }) {
  return (
    <label class="search">
      <span>{label}</span>
      <input type="search" value={value} spellcheck={false} autocomplete="off" onInput={(e) => onInput(e.currentTarget.value)} />
    </label>
  )
}

/** Code is text to copy. */
export function Code({ text, label }: { text: string; label: string }) {
  const [copied, set] = useState(false)
  const copy = async () => {
    // The clipboard needs a secure context, which a box on the LAN is not.
    try {
      await navigator.clipboard.writeText(text)
    } catch {
      const area = document.createElement('textarea')
      area.value = text
      document.body.append(area)
      area.select()
      document.execCommand('copy')
      area.remove()
    }
    set(true)
    setTimeout(() => set(false), 2000)
  }
  return (
    <div class="snippet">
      <pre tabIndex={0} role="region" aria-label={label}>
        <code>{text}</code>
      </pre>
      <button type="button" onClick={copy} aria-label={'Copy: ' + label}>
        {copied ? 'Copied' : 'Copy'}
      </button>
    </div>
  )
}

interface Named {
  name: string
  hostname: string
  given_name?: string | undefined
}

/** ClientName is the name of a client, which leads to its page, with its address. */
export function ClientName({ of }: { of: Named }) {
  const shown = of.given_name || of.hostname || of.name
  return (
    <>
      {of.name === others ? <span>{shown}</span> : <a href={'#/clients/' + part(of.name)}>{shown}</a>}
      {shown !== of.name && <small>{of.given_name && of.hostname ? `${of.hostname}, ${of.name}` : of.name}</small>}
    </>
  )
}

interface NamingProps {
  /** about is what gets the name, for those who do not see where the form stands. */
  about: string
  now: string | undefined
  path: string
  body(name: string): unknown
  done(): void
}

/** Naming gives something a name, or takes it away. */
export function Naming({ about, now, path, body, done }: NamingProps) {
  const [open, show] = useState(false)
  const [said, say] = useState('')
  if (!open) {
    return (
      <button type="button" aria-label={`Name ${about}`} onClick={() => show(true)}>
        {now ? 'Rename' : 'Name'}
      </button>
    )
  }
  const submit = async (e: Event) => {
    e.preventDefault()
    const name = String(new FormData(e.currentTarget as HTMLFormElement).get('name') ?? '').trim()
    try {
      await change('PUT', path, body(name))
      say('')
      show(false)
      done()
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <form class="naming" onSubmit={submit}>
      <input type="text" name="name" maxLength={64} defaultValue={now ?? ''} aria-label={`Name of ${about}; empty for none`} autocomplete="off" />
      <button type="submit">Save</button>
      <button type="button" onClick={() => show(false)}>
        Cancel
      </button>
      <span role="status">{said}</span>
    </form>
  )
}
