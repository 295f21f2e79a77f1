// Prefetching from the page: off, without the token, with it.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, giveToken, launch, open } from './page.ts'

let mirror: Mirror
let box: Box
let browser: Browser

/** newer is how many packages have a new version. */
const newer = 5

/** ttl is for how long a Release is not asked for again, in ms. */
const ttl = 1000

beforeAll(async () => {
  mirror = await startMirror()
  box = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token, MILLPOND_INDEX_TTL: `${ttl}ms` })
  await box.update()
  for (const name of mirror.names) await box.fetch(name)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await mirror?.close()
})

test('without the token there is no button, with a wrong one a refusal', async () => {
  const page = await open(browser)
  await page.goto(box.url + '/#/packages')
  await page.getByText('It is an admin action').waitFor()
  expect(await page.getByRole('button', { name: /Prefetch/ }).count()).toBe(0)
  await page.getByRole('link', { name: 'give the token' }).waitFor()
  const refused = await fetch(box.url + '/api/v1/prefetch', { method: 'POST', body: '{}' })
  expect(refused.status).toBe(401)
  await giveToken(page, box.url, 'wrong')
  await page.getByText('Wrong token').waitFor()
  await page.close()
})

test('who leaves a list at once comes where he wants to be', async () => {
  const page = await open(browser)
  await page.goto(box.url + '/#/')
  await page.getByText('Healthy').waitFor()
  for (let i = 0; i < 5; i++) {
    await page.evaluate(async () => {
      location.hash = '#/packages'
      await new Promise((done) => setTimeout(done, 100))
      // What the list has to do in 200 ms is due, and its turn comes after this.
      for (const begun = Date.now(); Date.now() - begun < 300; );
      location.hash = '#/settings'
    })
    await page.getByRole('heading', { level: 1, name: 'Settings' }).waitFor({ timeout: 5000 })
    expect(page.url()).toBe(box.url + '/#/settings')
  }
  await page.close()
})

test('where admin actions are off, the page says so', async () => {
  const other = await startBox(mirror)
  await other.update()
  const page = await open(browser)
  await page.goto(other.url + '/#/packages')
  await page.getByText('those are off (MILLPOND_ADMIN_TOKEN)').waitFor()
  expect(await page.getByRole('button', { name: /Prefetch/ }).count()).toBe(0)
  await page.close()
  await other.remove()
})

test('with the token newer versions come, and the page tells how it went', async () => {
  const page = await open(browser)
  await giveToken(page, box.url, token)
  await page.goto(box.url + '/#/packages')
  await page.getByRole('button', { name: 'Prefetch all suites now' }).click()
  await page.getByText('There was nothing to fetch').waitFor({ timeout: 30_000 })

  mirror.publish(newer)
  await page.waitForTimeout(ttl + 200)
  // The index came with the Release; the held package is missing.
  const release = mirror.hold('firefox-esr')
  await page.getByRole('button', { name: 'Prefetch now' }).click()
  await page.getByText(`Prefetching stable: ${newer - 1} of ${newer} files`).waitFor({ timeout: 60_000 })
  const done = await page.getByRole('img', { name: 'Prefetched: ' }).getAttribute('aria-label')
  expect(Number(/: ([\d.]+)/.exec(done!)![1])).toBeGreaterThan(50)
  expect(await page.getByRole('button', { name: 'Prefetch now' }).isDisabled()).toBe(true)
  await accessible(page)
  release()
  await page.getByText(/Prefetch of stable, .*: Fetched \d+ files/).waitFor({ timeout: 60_000 })
  await page.getByRole('searchbox').fill('1.0-2')
  await page.getByText(`${newer} found`).waitFor()
  await page.getByText('g++_1.0-2_amd64.deb').waitFor()
  expect(page.complaints).toEqual([])
  await page.close()
})
