// Requests to /api/v1, beneath wherever the page stands. The types of its
// answers are generated.
import type { Problem, Span } from './api.gen.ts'

export type * from './api.gen.ts'

/** Origin is where bytes came from. */
export type Origin = Span['origin']

/** Refusal is an answer other than 2xx, with the box's own words. */
export class Refusal extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

// Addresses are relative to the page's, which may be below a path of a reverse proxy.
async function ask(path: string, init: RequestInit): Promise<Response> {
  const answer = await fetch('api/v1/' + path, init)
  if (!answer.ok) {
    throw new Refusal(answer.status, (await reason(answer)) || `${answer.status} ${answer.statusText}`)
  }
  return answer
}

/** reason is why an answer is an error; a proxy in front may send another kind than the box. */
async function reason(answer: Response): Promise<string> {
  const text = (await answer.text()).trim()
  if (answer.headers.get('Content-Type') !== 'application/problem+json') return text
  return (JSON.parse(text) as Problem).detail
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await ask(path, signal ? { signal } : {})
  return (await answer.json()) as T
}

const key = 'millpond-admin-token'

// The token is kept for as long as the tab is open. Storage may be forbidden; a
// reload then forgets it.
let token = ''
try {
  token = sessionStorage.getItem(key) ?? ''
} catch {
  // as above
}

function keep(t: string) {
  token = t
  try {
    if (t) sessionStorage.setItem(key, t)
    else sessionStorage.removeItem(key)
  } catch {
    // as above
  }
}

export const admin = {
  /** enter asks the box whether t is the token, and keeps it if so. */
  async enter(t: string) {
    await ask('admin/check', { method: 'POST', headers: { Authorization: 'Bearer ' + t } })
    keep(t)
  },
  forget: () => keep(''),
  get known() {
    return token !== ''
  },
}

/** part makes a part of a path; a plus sign, as in g++, stands for itself there. */
export function part(name: string): string {
  return encodeURIComponent(name).replaceAll('%2B', '+')
}

/** change asks for an admin action. */
export async function change(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<void> {
  const headers: Record<string, string> = { Authorization: 'Bearer ' + token }
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  try {
    await ask(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
  } catch (e) {
    // The box has got another token since.
    if (e instanceof Refusal && e.status === 401) admin.forget()
    throw e
  }
}
