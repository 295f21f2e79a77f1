import { useState } from 'preact/hooks'
import { type Settings as Answer, admin, Refusal, type Setting } from '../api.ts'
import { useAsk } from '../ask.ts'
import { type Column, Heading, Table, Trouble } from '../parts.tsx'
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
