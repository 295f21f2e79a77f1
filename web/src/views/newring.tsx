import { useState } from 'preact/hooks'
import { change, type Ring, type RingRequest } from '../api.ts'

/** NewRing makes a ring. */
export function NewRing({ rings, made }: { rings: Ring[]; made(): void }) {
  const [said, say] = useState('')
  const submit = async (e: Event) => {
    e.preventDefault()
    const form = e.currentTarget as HTMLFormElement
    const fields = new FormData(form)
    const word = (name: string) => String(fields.get(name) ?? '').trim()
    const ring: RingRequest = {
      name: word('name'),
      after: word('after'),
      delay: word('delay'),
      security: fields.has('security'),
      clients: word('clients')
        .split(/[\s,]+/)
        .filter(Boolean),
    }
    say('…')
    try {
      await change('POST', 'rings', ring)
      say(`The ring ${ring.name} is made.`)
      form.reset()
      made()
    } catch (e) {
      say((e as Error).message)
    }
  }
  return (
    <details class="newring">
      <summary>Make a ring</summary>
      <form onSubmit={submit}>
        <label class="search">
          <span>Name: lower-case letters, digits and hyphens</span>
          <input type="text" name="name" required maxLength={32} pattern="[a-z0-9\-]+" autocomplete="off" />
        </label>
        <label class="search">
          <span>Gets what this has</span>
          <select name="after">
            <option value="">this box, in force</option>
            {rings.map((r) => (
              <option key={r.name} value={r.name}>
                the ring {r.name}
              </option>
            ))}
          </select>
        </label>
        <label class="search">
          <span>Once that has had it for, such as 3d or 12h; empty for at once</span>
          <input type="text" name="delay" autocomplete="off" />
        </label>
        <label class="search">
          <span>Clients that are always in it: addresses or ranges, such as 10.1.0.0/16</span>
          <input type="text" name="clients" autocomplete="off" />
        </label>
        <label class="check">
          <input type="checkbox" name="security" /> <span>Security suites at once</span>
        </label>
        <div class="actions">
          <button type="submit">Make the ring</button>
          <span role="status">{said}</span>
        </div>
      </form>
    </details>
  )
}
