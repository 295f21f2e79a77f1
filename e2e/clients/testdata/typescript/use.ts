// Asks the box at the URL argv[2] through the generated types, as the administrator with
// the token argv[3].
import createClient from 'openapi-fetch'
import type { paths } from './millpond.ts'

const [, , box, token] = process.argv
const client = createClient<paths>({ baseUrl: box! })

function must(holds: boolean, ...what: unknown[]) {
  if (holds) return
  console.error(...what)
  process.exit(1)
}

const body = { per_gb: 0.05, currency: 'EUR' }
const refused = await client.PUT('/api/v1/price', { body })
must(refused.response.status === 401 && refused.error!.detail !== '', 'without the token:', refused.error)
const set = await client.PUT('/api/v1/price', { body, headers: { Authorization: `Bearer ${token}` } })
must(set.response.status === 204, 'with the token:', set.error)
const summary = await client.GET('/api/v1/summary')
must(summary.data!.money.per_gb === 0.05, 'summary:', summary.data)
const clients = await client.GET('/api/v1/clients', { params: { query: { limit: 10, sort: 'last_update' } } })
must(Array.isArray(clients.data!.items), 'clients:', clients.data)
const unknown = await client.GET('/api/v1/clients/{address}', { params: { path: { address: '10.9.9.9' } } })
must(unknown.response.status === 404 && unknown.error!.status === 404, 'an unknown client:', unknown.error)
// @ts-expect-error the document says that there is no such order
await client.GET('/api/v1/clients', { params: { query: { sort: 'colour' } } })
