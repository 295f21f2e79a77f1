import { afterEach, expect, test, vi } from 'vitest'
import type { Blob, Found } from './api.ts'
import { type Hits, newSearch, nothing } from './search.ts'

afterEach(() => vi.unstubAllGlobals())

/** box answers when it is told to, each request by itself, and hears of no abort. */
function box() {
  const asked: { q: string; after: string; answer(names: string[], next?: string): Promise<void> }[] = []
  vi.stubGlobal('fetch', (url: string) => {
    const query = new URL(url, 'http://box').searchParams
    return new Promise<Response>((done) => {
      asked.push({
        q: query.get('q')!,
        after: query.get('after')!,
        async answer(names, next = '') {
          const found: Found = { items: names.map((name) => ({ name }) as Blob), next, scanned: names.length }
          done(Response.json(found))
          await new Promise((settled) => setTimeout(settled))
        },
      })
    })
  })
  return asked
}

const names = (h: Hits) => h.items.map((b) => b.name)

test('an older search does not overwrite a newer one', async () => {
  const asked = box()
  let shown = nothing
  const search = newSearch((h) => (shown = h))
  search.begin('bash')
  await asked[0]!.answer(
    Array.from({ length: 50 }, (_, i) => `bash${i}`),
    'more',
  )
  expect(shown).toMatchObject({ busy: false, next: 'more', scanned: 50 })
  search.further()
  search.begin('zsh')
  await asked[2]!.answer(['zsh_5'])
  expect(names(shown)).toEqual(['zsh_5'])
  await asked[1]!.answer(['bash-completion'])
  expect(names(shown)).toEqual(['zsh_5'])
  expect(shown.busy).toBe(false)
  search.stop()
})

test('it goes on where it stopped, and shows nothing once it is stopped', async () => {
  const asked = box()
  let shown = nothing
  const search = newSearch((h) => (shown = h))
  search.begin('lib')
  await asked[0]!.answer(['liba'], 'b')
  expect(asked[1]).toMatchObject({ q: 'lib', after: 'b' })
  await asked[1]!.answer(
    Array.from({ length: 50 }, (_, i) => `lib${i}`),
    'c',
  )
  expect(asked.length).toBe(2)
  search.further()
  expect(shown.busy).toBe(true)
  await asked[2]!.answer(['libz'])
  expect(names(shown).length).toBe(52)
  search.begin('x')
  search.stop()
  await asked[3]!.answer(['x'])
  expect(names(shown)).toEqual([])
})
