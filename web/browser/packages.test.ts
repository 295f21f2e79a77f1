// Packages: what they saved, what is held of them, who asked.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Package, PageAccount } from '../src/api.ts'
import { type Box, startBox } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { launch, open } from './page.ts'

let mirror: Mirror
let box: Box
let browser: Browser

beforeAll(async () => {
  mirror = await startMirror()
  box = await startBox(mirror)
  await box.update()
  for (const name of mirror.names) for (const client of ['127.0.0.1', '127.0.2.2']) await box.fetch(name, client)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await mirror?.close()
})

const ask = async <T>(path: string) => (await (await fetch(`${box.url}/api/v1/${path}`)).json()) as T

test('packages are sorted, turned and searched, and the address keeps that', async () => {
  const page = await open(browser)
  await page.goto(box.url + '/#/packages')
  const rows = page.getByRole('region', { name: 'Packages' }).locator('tbody th')
  await rows.first().waitFor()
  const saved = await ask<PageAccount>('packages?sort=saved&limit=20')
  expect(await rows.allInnerTexts()).toEqual(saved.items.map((a) => a.name))
  await page.getByRole('button', { name: 'Package', exact: true }).click()
  const named = await ask<PageAccount>('packages?sort=name&limit=20')
  await expect.poll(() => rows.allInnerTexts()).toEqual(named.items.map((a) => a.name))
  await page.getByRole('searchbox').fill('lib')
  await expect.poll(() => rows.allInnerTexts()).toEqual(['libc6', 'libreoffice-core'])
  await page.getByText('libc6_1.0-1_amd64.deb').waitFor()
  await expect.poll(() => new URL(page.url()).hash).toBe('#/packages?q=lib&sort=name')
  await rows.getByRole('link', { name: 'libc6' }).click()
  await page.getByRole('heading', { level: 1, name: 'libc6' }).waitFor()
  await page.goBack()
  await expect.poll(() => rows.allInnerTexts()).toEqual(['libc6', 'libreoffice-core'])
  expect(await page.getByRole('searchbox').inputValue()).toBe('lib')
  expect(page.complaints).toEqual([])
  await page.close()
})

test('a package has an address of its own, with what is held and who asked', async () => {
  const p = await ask<Package>('packages/g++')
  const page = await open(browser)
  await page.goto(box.url + '/#/packages/g++')
  await page.getByRole('heading', { level: 1, name: 'g++' }).waitFor()
  expect(await page.title()).toContain('g++')
  const held = page.getByRole('region', { name: 'Files held of this package' })
  await held.getByText('g++_1.0-1_amd64.deb').waitFor()
  await held.getByText(p.versions[0]!.digest).waitFor()
  await held.getByText(mirror.host, { exact: true }).waitFor()
  const askers = page.getByRole('region', { name: 'Clients that asked for it' })
  for (const c of p.clients) {
    await askers.getByText(c.name, { exact: true }).waitFor()
    if (c.hostname) await askers.getByText(c.hostname, { exact: true }).first().waitFor()
  }
  expect(p.clients.map((c) => c.name).sort()).toEqual(['127.0.0.1', '127.0.2.2'])
  expect(page.complaints).toEqual([])
  await page.close()
})

test('a package that nobody asked for is told in words', async () => {
  const page = await open(browser)
  await page.goto(box.url + '/#/packages/no-such-package')
  await page.getByRole('link', { name: 'Search for it among the files held' }).click()
  await page.getByText('No client asked for a package named “no-such-package”.').waitFor()
  await page.getByText('The box holds no file named “no-such-package”.').waitFor()
  await page.close()
})

test('clients have the names of their addresses, and are found by them', async () => {
  // What 127.0.0.1 is called is the machine's affair.
  let client = ''
  let hostname = ''
  await expect
    .poll(
      async () => {
        const { items } = await ask<PageAccount>('clients?sort=name')
        const named = items.find((a) => a.hostname)
        ;[client, hostname] = [named?.name ?? '', named?.hostname ?? '']
        return hostname
      },
      { timeout: 20_000 },
    )
    .not.toBe('')
  const page = await open(browser)
  await page.goto(`${box.url}/#/clients?q=${encodeURIComponent(hostname)}`)
  const row = page.getByRole('row').filter({ has: page.getByText(client, { exact: true }) })
  await row.getByText(hostname, { exact: true }).waitFor()
  await page.close()
})
