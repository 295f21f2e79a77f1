// A page for each client, the filter of those not updating, and the price of a gigabyte.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClientDetail, Setup } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, giveToken, launch, open } from './page.ts'

let mirror: Mirror
let box: Box
let browser: Browser

const ask = async <T>(path: string) => (await (await fetch(`${box.url}/api/v1/${path}`)).json()) as T

beforeAll(async () => {
  mirror = await startMirror()
  box = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token })
  for (const client of ['127.0.2.2', '127.0.2.3']) {
    await box.update(client)
    for (const name of mirror.names.slice(0, 3)) await box.fetch(name, client)
  }
  await box.fetch('pool/main/n/nothing/nothing_1.0-1_amd64.deb', '127.0.2.2')
  await box.fetch(mirror.names[0]!, '127.0.2.4')
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await mirror?.close()
})

test('a client has a page with what it got, and what it did not get and why', async () => {
  await expect.poll(async () => (await ask<ClientDetail>('clients/127.0.2.2')).failures.length, { timeout: 20_000 }).toBe(1)
  const c = await ask<ClientDetail>('clients/127.0.2.2')
  const page = await open(browser)
  await page.goto(box.url + '/#/clients')
  await page.locator('a[href="#/clients/127.0.2.2"]').click()
  await page.getByRole('link', { name: 'All clients' }).waitFor()
  const failed = page.getByRole('region', { name: 'What it did not get' })
  await failed.getByText('nothing_1.0-1_amd64.deb').waitFor()
  await failed.getByText('404', { exact: true }).waitFor()
  await page.getByRole('region', { name: 'Suites' }).getByText('stable').waitFor()
  const top = page.getByRole('region', { name: 'Top packages' })
  expect(await top.locator('tbody th').allInnerTexts()).toEqual(c.packages.map((p) => p.name))
  await accessible(page)
  expect(page.complaints).toEqual([])
  await page.setViewportSize({ width: 1280, height: 800 })
  await top.getByRole('link').first().click()
  await page.getByRole('heading', { level: 1, name: c.packages[0]!.name }).waitFor()
  await page.locator('a[href="#/clients/127.0.2.3"]').waitFor()
  await page.close()
})

test('a filter asks for clients that were not seen updating', async () => {
  const page = await open(browser)
  await page.goto(box.url + '/#/clients')
  const rows = page.getByRole('region', { name: 'Clients' }).locator('tbody tr')
  await expect.poll(() => rows.count()).toBe(3)
  await page.getByLabel('Not seen updating for so many days').fill('1')
  // The box has not known any of them for a day.
  await page.getByText('No client has gone a day without updating.').waitFor()
  expect(await rows.count()).toBe(0)
  await expect.poll(() => page.url()).toContain('days=1')
  await page.close()
})

test('a price makes money of what was saved', async () => {
  const page = await open(browser)
  await giveToken(page, box.url, token)
  await page.getByLabel('Price of 1 GB, 0 for none').fill('1000')
  await page.getByLabel('Currency').fill('EUR')
  await page.getByRole('button', { name: 'Keep' }).click()
  await page.getByText('Kept. The first screen shows the money saved.').waitFor()
  await page.goto(box.url + '/#/')
  await expect.poll(() => page.locator('.money').innerText()).toMatch(/^[\d.]+\sEUR$/)
  await page.close()
})

test('opened on the box itself, a client is set up by an address that it reaches', async () => {
  const { addresses, local } = await ask<Setup>('setup')
  const page = await open(browser)
  await page.goto(box.url + '/#/setup')
  expect(local).toBe(true)
  await page.getByText(`curl -fsS ${addresses[0]!.script} | sudo sh`, { exact: true }).waitFor()
  if (addresses.length > 1) {
    await page.getByLabel('Clients cannot reach the box as you do now').selectOption(addresses[1]!.address)
    await page.getByText(`curl -fsS ${addresses[1]!.script} | sudo sh`, { exact: true }).waitFor()
  }
  await accessible(page)
  await page.close()
})
