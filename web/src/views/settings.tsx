import { useState } from 'preact/hooks'
import { type Settings as Answer, admin, change, type Price, Refusal, type Setting, type Summary } from '../api.ts'
import { useAsk } from '../ask.ts'
import { type Column, Heading, Table, Trouble } from '../parts.tsx'
import { price } from '../units.ts'
import { KeyList } from './keys.tsx'

export function Settings() {
  const ask = useAsk<Answer>('settings')
  return (
    <>
      <Heading title="Settings">
        What this box runs with. All of it comes from environment variables; change one where the box is started and restart it.
      </Heading>
      <Trouble error={ask.error} />
      {ask.data && <Token on={ask.data.admin} />}
      <PriceForm />
      {ask.data && <Table label="Settings" columns={columns} rows={ask.data.settings} name={(s) => s.name} />}
      <KeyList />
    </>
  )
}

const columns: Column<Setting>[] = [
  {
    id: 'name',
    name: 'Variable',
    cell: (s) => (
      <>
        <code>{s.name}</code>
        <small>{s.help}</small>
      </>
    ),
  },
  {
    id: 'value',
    name: 'Value',
    cell: (s) => (
      <>
        {s.value ? <code class="wrap">{s.value}</code> : <span class="quiet">not set</span>}
        <small>{s.set ? (s.default ? `set here; ${s.default} by default` : 'set here') : 'default'}</small>
      </>
    ),
  },
  { id: 'takes', name: 'Takes', cell: (s) => <span class="quiet">{s.takes}</span> },
]

function Token({ on }: { on: boolean }) {
  const [known, set] = useState(admin.known)
  if (!on) {
    return (
      <section class="way" aria-labelledby="admin">
        <h2 id="admin">Admin actions are off</h2>
        <p>
          Prefetching, pinning, evicting, verifying, changing rings, accepting a rejected Release, banning boxes and erasing clients need a token.
          Start the box with <code>MILLPOND_ADMIN_TOKEN</code> set to a long random word to have them.
        </p>
      </section>
    )
  }
  const [said, say] = useState('')
  const submit = async (e: Event) => {
    e.preventDefault()
    const form = e.currentTarget as HTMLFormElement
    const word = String(new FormData(form).get('token') ?? '')
    say('…')
    try {
      await admin.enter(word)
      say('')
      set(true)
    } catch (e) {
      say(e instanceof Refusal && e.status === 401 ? 'Wrong token: it is not the one in MILLPOND_ADMIN_TOKEN.' : (e as Error).message)
    }
  }
  if (known) {
    return (
      <section class="way" aria-labelledby="admin">
        <h2 id="admin">Admin actions are on in this tab</h2>
        <p>Actions appear beside what they change. The token is kept until the tab is closed.</p>
        <p>
          <button
            type="button"
            onClick={() => {
              admin.forget()
              set(false)
            }}
          >
            Forget the token
          </button>
        </p>
      </section>
    )
  }
  return (
    <section class="way" aria-labelledby="admin">
      <h2 id="admin">Admin actions</h2>
      <p>
        Give the admin token to prefetch, to pin, evict and verify files, to change rings, to accept a rejected Release, to ban boxes, to give names
        and to erase clients. It is kept until the tab is closed.
      </p>
      <form class="tools" onSubmit={submit}>
        <label class="search">
          <span>Admin token</span>
          <input type="password" name="token" autocomplete="off" required />
        </label>
        <button type="submit">Use it</button>
        <span role="alert" class="trouble">
          {said}
        </span>
      </form>
    </section>
  )
}

/** PriceForm sets what a gigabyte from a mirror costs, for what was saved to be shown as money. */
function PriceForm() {
  const ask = useAsk<Summary>('summary')
  const [said, say] = useState('')
  const money = ask.data?.money
  if (!money) return null
  const submit = async (e: Event) => {
    e.preventDefault()
    const form = new FormData(e.currentTarget as HTMLFormElement)
    const body: Price = { per_gb: Number(form.get('price')), currency: String(form.get('currency') ?? '').trim() }
    try {
      await change('PUT', 'price', body)
      say(body.per_gb > 0 ? 'Kept. The first screen shows the money saved.' : 'Kept. No money is shown.')
      ask.again()
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <section class="way" aria-labelledby="price">
      <h2 id="price">Price of a gigabyte</h2>
      <p>
        {money.per_gb > 0
          ? `At ${money.per_gb} ${money.currency} for 1 GB from a mirror, ${price((money.saved / money.per_gb) * 1e9, money)} were saved so far.`
          : 'What 1 GB from a mirror costs: what was saved is then shown as money, too.'}{' '}
        {!admin.known && 'Entering it is an admin action.'}
      </p>
      {admin.known && (
        <form class="tools" onSubmit={submit}>
          <label class="search">
            <span>Price of 1 GB, 0 for none</span>
            <input
              type="text"
              name="price"
              inputMode="decimal"
              pattern="[0-9]+([.][0-9]+)?"
              required
              defaultValue={String(money.per_gb)}
              autocomplete="off"
            />
          </label>
          <label class="search">
            <span>Currency</span>
            <input type="text" name="currency" maxLength={8} required defaultValue={money.currency || 'EUR'} autocomplete="off" />
          </label>
          <button type="submit">Keep</button>
          <span role="status">{said}</span>
        </form>
      )}
    </section>
  )
}
