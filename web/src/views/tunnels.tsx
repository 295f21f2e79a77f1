import { useState } from 'preact/hooks'
import type { Tunnel, Tunnels } from '../api.ts'
import { useAsk, useNow } from '../ask.ts'
import { ClientName, Code, Empty, Meter, Pager, Section, Trouble, useFirst } from '../parts.tsx'
import { others } from '../privacy.ts'
import type { Reach } from '../reach.ts'
import { ago, bytes, count } from '../units.ts'

const limit = 20

/** TunnelList is what went through the box uncached, by host, with what to change. */
export function TunnelList({ of: { at, script } }: { of: Reach }) {
  const [offset, turn] = useState(0)
  const ask = useAsk<Tunnels>(`tunnels?limit=${limit}&offset=${offset}`, 30)
  const now = useNow(30)
  const t = ask.data
  const [shown, more] = useFirst(t?.items ?? [], 3)
  const most = Math.max(0, ...(t?.items ?? []).map((x) => x.bytes))
  return (
    <Section
      id="tunnels"
      title="Through tunnels"
      about={
        <>
          {t && t.bytes > 0 && (
            <b>
              {bytes(t.bytes)} in the last {count(t.days)} days went through uncached.{' '}
            </b>
          )}
          In a tunnel the client speaks TLS with the host itself: the box sees which host it is, and nothing to cache. A line of its sources changes
          that, and the box then speaks TLS to the host.
        </>
      }
    >
      <Trouble error={ask.error} />
      {t && t.total === 0 ? (
        <Empty title="Nothing went through a tunnel.">An https archive that clients reach through this box, uncached, appears here.</Empty>
      ) : (
        <>
          <ul class="rows">
            {shown.map((x) => (
              <li key={x.host}>
                <Row of={x} days={t!.days} most={most} at={at} now={now} />
              </li>
            ))}
          </ul>
          {more}
          {t && <Pager offset={t.offset} limit={limit} total={t.total} onTurn={turn} />}
          <p class="text-small quiet">All of them at once, on a client, and reversibly:</p>
          <Code label="Rewrite sources" text={`curl -fsS ${script} | sudo sh -s -- --https`} />
        </>
      )}
    </Section>
  )
}

interface RowProps {
  of: Tunnel
  days: number
  most: number
  at: string
  now: number
}

function Row({ of: t, days, most, at, now }: RowProps) {
  return (
    <>
      <div class="head">
        <b>{t.host === others ? 'other hosts' : t.host}</b>
        <span>
          {bytes(t.bytes)} in {count(days)} days, {t.tunnels === 1 ? '1 tunnel' : `${count(t.tunnels)} tunnels`}, last {ago(t.last, now)}
        </span>
      </div>
      <Meter value={t.bytes} of={most} label={`Through tunnels to ${t.host}, beside the most`} />
      {t.source && (
        <div class="change">
          <p class="detail">
            In the sources of its clients, write <code class="wrap">{`http://${at}${t.through_box}`}</code> in place of{' '}
            <code class="wrap">{t.source}</code>
            {t.as_proxy && (
              <>
                ; with the box as proxy, <code class="wrap">{t.as_proxy}</code>
              </>
            )}
          </p>
        </div>
      )}
      {t.clients.length > 0 && (
        <details class="text-small">
          <summary>{t.clients.length === 1 ? '1 client' : `${t.clients.length} clients, the last ones first`}</summary>
          <ul class="names">
            {t.clients.map((c) => (
              <li key={c.name}>
                <ClientName of={{ given_name: '', ...c }} /> {bytes(c.bytes)}, {ago(c.last, now)}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  )
}
