// The view Archive: generations, rings, the account of prefetches, what is kept.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Keep, PageFollowedSuite, PageGeneration, PageRingSuite, Prefetch, Setup } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, giveToken, launch, open } from './page.ts'

let mirror: Mirror
let box: Box
let keeper: Box
let browser: Browser

const newer = 5
const day = 86_400_000
const dates = [new Date(Date.now() - 3 * day), new Date()] as const

const suite = () => `http://${mirror.host}/debian/dists/stable`
const ask = async <T>(of: Box, path: string) => (await (await fetch(`${of.url}/api/v1/${path}`)).json()) as T
const generations = () => ask<PageGeneration>(box, 'generations?suite=' + encodeURIComponent(suite()))
const lane = async () => (await ask<PageRingSuite>(box, 'rings/prod/suites')).items[0]!
const take = async (path: string) => {
  const answer = await fetch(`${box.url}/${path}/${mirror.host}/debian/dists/stable/InRelease`)
  expect(answer.status).toBe(200)
  return answer.text()
}

/** written is a time as the page writes it: the browser's zone is the test's. */
const written = (d: string | Date) => {
  const t = new Date(d)
  const two = (n: number) => String(n).padStart(2, '0')
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}`
}

async function openArchive(as?: string): Promise<Page & { complaints: string[] }> {
  const page = await open(browser)
  if (as) await giveToken(page, box.url, as)
  await page.goto(box.url + '/#/archive')
  await page.getByRole('heading', { level: 1, name: 'Archive' }).waitFor()
  return page
}

beforeAll(async () => {
  mirror = await startMirror({ signed: true })
  const settings = { MILLPOND_ADMIN_TOKEN: token, MILLPOND_KEYRING_DIR: mirror.keyring, MILLPOND_INDEX_TTL: '1s' }
  mirror.publish(0, dates[0])
  box = await startBox(mirror, settings)
  keeper = await startBox(mirror, { ...settings, MILLPOND_FOLLOW: `http://${mirror.host}/debian stable main amd64 package:vim` })
  await box.update()
  for (const name of mirror.names) await box.fetch(name)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await keeper?.remove()
  await mirror?.close()
})

test('what is kept complete says in which generation, and since when', async () => {
  const kept = async () => (await ask<Keep>(keeper, 'keep')).slices[0]
  await expect.poll(async () => (await kept())?.state, { timeout: 60_000 }).toBe('complete')
  const page = await open(browser)
  await page.goto(keeper.url + '/#/archive')
  const k = (await kept())!
  const system = page.getByRole('group', { name: `System ${k.system}` })
  await system.getByText(`Complete in the generation of ${written(dates[0])} since ${written(k.since!)}`).waitFor()
  await system.getByText('complete', { exact: true }).waitFor()
  await page.getByText('followed by MILLPOND_FOLLOW').waitFor()
  await page.getByText('fetched ahead: indices, and the packages that the setting selects').waitFor()
  await accessible(page)
  expect(page.complaints).toEqual([])
  await page.close()
})

test('without the token a ring is neither made nor changed', async () => {
  const page = await openArchive()
  await page.getByText('There is no ring.').waitFor()
  await page.getByText('Rings are changed by admin actions').waitFor()
  expect(await page.getByText('Make a ring').count()).toBe(0)
  for (const path of ['rings', 'rings/prod/hold', 'rings/prod/promote', 'rings/prod/rollback']) {
    const headers = { 'Content-Type': 'application/json' }
    expect((await fetch(`${box.url}/api/v1/${path}`, { method: 'POST', headers, body: '{}' })).status, path).toBe(401)
  }
  await page.close()
  expect(await ask(box, 'rings')).toEqual({ rings: [] })
})

test('a ring is made, held, promoted and rolled back', { timeout: 180_000 }, async () => {
  const page = await openArchive(token)
  await page.getByText('Make a ring').click()
  await page.getByLabel(/^Name/).fill('prod')
  await page.getByLabel(/^Once that has had it/).fill('3 days')
  const make = page.getByRole('button', { name: 'Make the ring' })
  await make.click()
  await page.getByText('write 3d, 12h or 1d12h').waitFor()
  await page.getByLabel(/^Once that has had it/).fill('3d')
  await make.click()
  await page.getByText('The ring prod is made.').waitFor()
  const ring = page.getByRole('group', { name: 'Ring prod' })
  await ring.getByText('Gets what this box has had for 3 d.').waitFor()
  await ring.getByText('None of its clients has used a signed suite yet.').waitFor()

  const first = await take('ring/prod')
  mirror.publish(newer, dates[1])
  const updated = async () => {
    await box.update()
    return (await generations()).total
  }
  await expect.poll(updated, { timeout: 60_000, interval: 500 }).toBe(2)
  expect(await take('ring/prod')).toBe(first)
  await page.reload()
  await giveToken(page, box.url, token)
  await page.goto(box.url + '/#/archive')
  await ring.getByText(`Clients get the generation of ${written(dates[0])}`).waitFor()
  await ring.getByText(`Next is that of ${written(dates[1])}, in`).waitFor()

  await ring.getByText('What a promotion of stable would bring').click()
  await ring.getByText(new RegExp(`${newer} with another version, 0 new, 0 gone`)).waitFor()
  const table = ring.getByRole('region', { name: 'What a promotion of stable in prod would bring' })
  expect(await table.getByRole('row').count()).toBe(newer + 1)
  const row = table.getByRole('row', { name: /firefox-esr/ })
  expect(await row.locator('td').allInnerTexts()).toEqual(['1.0-1', '1.0-2'])
  await accessible(page)

  // Each asks back; whoever leaves it changes nothing.
  const about = 'stable in prod'
  await ring.getByRole('button', { name: `Hold ${about}` }).click()
  await ring.getByRole('button', { name: 'Leave it' }).click()
  expect((await lane()).held).toBe(false)
  await ring.getByRole('button', { name: `Hold ${about}` }).click()
  await ring.getByRole('button', { name: `Hold now: ${about}` }).click()
  await ring.getByText('Held: it gets no newer one by itself').waitFor()
  expect((await lane()).held).toBe(true)

  await ring.getByRole('button', { name: `Promote ${about}` }).click()
  await ring.getByRole('button', { name: `Promote now: ${about}` }).click()
  await ring.getByText(`Clients get the generation of ${written(dates[1])}`).waitFor()
  await ring.getByText('There is no newer one yet').waitFor()
  expect(await take('ring/prod')).not.toBe(first)

  await ring.getByRole('button', { name: `Roll back ${about}` }).click()
  await ring.getByRole('button', { name: `Roll back to ${written(dates[0])}: ${about}` }).click()
  await ring.getByText(`Clients get the generation of ${written(dates[0])}`).waitFor()
  expect(await take('ring/prod')).toBe(first)
  expect((await lane()).held).toBe(true)
  expect(page.complaints.filter((c) => !c.includes('400'))).toEqual([])
  await page.close()
})

test('a followed suite shows both generations, and a line that serves the older one', async () => {
  const page = await openArchive()
  const followed = (await ask<PageFollowedSuite>(box, 'follow')).items[0]!
  expect(followed.why).toBe('clients')
  await page.getByText('followed because clients use it, until').waitFor()
  await page.getByText(/^checked .*, next in/).waitFor()
  const line = page.getByRole('img', {
    name: `2 generations of stable, with those of the last 30 days on a line; the one of ${written(dates[1])} is in force`,
  })
  await line.waitFor()
  expect(await line.locator('circle').count()).toBe(2)
  const at = async (kind: string) => Number.parseFloat((await line.locator(`circle.${kind}`).getAttribute('cx'))!)
  expect((await at('present')) - (await at('past'))).toBeCloseTo((97 * 3) / 30, 1)
  await page.getByText('2 generations of stable, with lines for sources.list').click()
  const lines = await page.locator('.followed pre').allInnerTexts()
  const times = (await generations()).items.map((g) => g.snapshot)
  const reach = (await ask<Setup>(box, 'setup')).addresses[0]?.address ?? `127.0.0.1:${box.port}`
  expect(lines.map((l) => l.trim())).toEqual(times.map((t) => `deb http://${reach}/snapshot/${t}/${mirror.host}/debian stable main`))
  const [now, before] = [await take('snapshot/' + times[0]), await take('snapshot/' + times[1])]
  expect(before).toContain(dates[0].toUTCString().replace('GMT', 'UTC'))
  expect(now).toContain(dates[1].toUTCString().replace('GMT', 'UTC'))
  expect(page.complaints).toEqual([])
  await page.close()
})

test('the account tells what a prefetch cost, and what of it was used', async () => {
  const account = () => ask<Prefetch>(box, 'prefetch')
  await expect.poll(async () => (await account()).total.files, { timeout: 60_000 }).toBeGreaterThanOrEqual(newer)
  await box.fetch(mirror.names[0]!.replace('1.0-1', '1.0-2'))
  await expect.poll(async () => (await account()).total.used_files, { timeout: 30_000 }).toBe(1)
  const { total, waves } = await account()
  const page = await openArchive()
  const percent = Math.round((100 * total.used_bytes) / (total.from_mirrors + total.from_peers))
  const bar = page.locator('.account').getByRole('img', { name: `${percent}\u00a0% used, 0\u00a0% wasted, ${100 - percent}\u00a0% not decided yet` })
  await bar.waitFor()
  await page.getByText(/used: \S+\s\SB in 1 file/).waitFor()
  await page.getByText('0 % from other boxes').waitFor()
  await page.getByText('of the 10 GB for today are spent').waitFor()
  await page.getByText(/The day ends in/).waitFor()
  const table = page.getByRole('region', { name: 'Prefetches, the last 20' })
  expect(await table.getByRole('row').count()).toBe(waves.length + 1)
  await table.getByText('stable changed').first().waitFor()
  expect(page.complaints).toEqual([])
  await page.close()
})

test('a ring that was made here is deleted', async () => {
  const page = await openArchive(token)
  await page.getByRole('button', { name: 'Delete the ring prod' }).click()
  await page.getByRole('button', { name: 'Delete for good: the ring prod' }).click()
  await page.getByText('There is no ring.').waitFor()
  expect(await ask(box, 'rings')).toEqual({ rings: [] })
  await page.close()
})

describe.each(['light', 'dark'] as const)('in %s', (scheme) => {
  test('with all that it can show, it has no serious fault of access and fits 360 px', async () => {
    const page = await open(browser, { scheme })
    await page.goto(box.url + '/#/archive')
    await page.getByText('2 generations of stable, with lines for sources.list').click()
    await page.getByRole('region', { name: 'Prefetches, the last 20' }).waitFor()
    await accessible(page)
    expect(page.complaints).toEqual([])
    await page.close()
  })
})
