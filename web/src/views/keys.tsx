import { useState } from 'preact/hooks'
import type { Key, PageKey, Suite } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { type Column, Pager, Section, Table, Trouble } from '../parts.tsx'
import { day } from '../units.ts'

const limit = 50

/** KeyList is what Release files are verified with. */
export function KeyList() {
  const [offset, turn] = useState(0)
  const ask = useAsk<PageKey>(`keys?limit=${limit}&offset=${offset}`, 15)
  const now = useNow(60)
  const page = ask.data
  const columns: Column<Key>[] = [
    {
      id: 'owner',
      name: 'Archive or owner',
      cell: (k) => (
        <>
          {k.users.map((u) => (
            <div key={u}>{u}</div>
          ))}
          <small>
            <code class="wrap">{k.fingerprint}</code>
          </small>
        </>
      ),
    },
    { id: 'suites', name: 'Signs', cell: (k) => <Lines of={k.suites} none="no suite that clients use" /> },
    { id: 'files', name: 'File', cell: (k) => <Lines of={k.files} none="" /> },
    { id: 'expires', name: 'Expires', number: true, cell: (k) => expiry(k, now) },
  ]
  return (
    <Section
      id="keys"
      title="Archive keys"
      about="Suites that one of them signed count as signed, and may be shared with other boxes. A file that is put into a directory of MILLPOND_KEYRING_DIR, replaced or removed there counts within seconds."
    >
      <Trouble error={ask.error} />
      {page?.total === 0 && <p class="quiet">There are none: no suite counts as signed.</p>}
      {page && page.total > 0 && <Table label="Archive keys" columns={columns} rows={page.items} name={(k) => k.fingerprint} />}
      {page && page.total > limit && <Pager offset={offset} limit={limit} total={page.total} onTurn={turn} />}
    </Section>
  )
}

function Lines({ of, none }: { of: string[]; none: string }) {
  if (of.length === 0) return <span class="quiet">{none}</span>
  return (
    <>
      {of.map((line) => (
        <div key={line} class="wrap">
          {line}
        </div>
      ))}
    </>
  )
}

function expiry(k: Key, now: number): string {
  if (k.revoked) return 'revoked'
  if (!k.expires) return 'never'
  return Date.parse(k.expires) < now ? `${day(k.expires)}, expired` : day(k.expires)
}

/** Unsigned is why a suite is not signed, and what to do about it. */
export function Unsigned({ suite: s }: { suite: Suite }) {
  return (
    <>
      no: {s.unsigned_why}
      {s.missing_keys.length > 0 && (
        <small>
          <code class="wrap">{s.missing_keys.join(', ')}</code> is missing. A client that uses the archive has it in the file that Signed-By names in
          its sources; or ask the archive. See <a href="#/settings">Archive keys</a>.
        </small>
      )}
      {s.keys_at.length > 0 && (
        <small>
          The signature, which nothing proves yet, names <code class="wrap">{s.keys_at.join(', ')}</code> for it.
        </small>
      )}
      {s.signed_by.length > 0 && (
        <small>
          The Release names <code class="wrap">{s.signed_by.join(', ')}</code> in Signed-By.
        </small>
      )}
    </>
  )
}
