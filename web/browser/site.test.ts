// Three boxes of one site: their sums, their names, and one that is away.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Site, SiteBoxes, Summary } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, giveToken, launch, open } from './page.ts'

let mirror: Mirror
let boxes: Box[] = []
let browser: Browser

const ask = async <T>(of: Box, path: string) => (await (await fetch(`${of.url}/api/v1/${path}`)).json()) as T

beforeAll(async () => {
  mirror = await startMirror()
  const settings = { MILLPOND_SWARM_KEY: '5e'.repeat(32), MILLPOND_ADMIN_TOKEN: token }
  boxes = [await startBox(mirror, settings)]
  for (let i = 0; i < 2; i++) boxes.push(await startBox(mirror, { ...settings, MILLPOND_BOOTSTRAP: boxes.map((b) => b.url).join() }))
  for (const [i, box] of boxes.entries()) {
    await box.update()
    for (const name of mirror.names.slice(0, 4 + i)) for (const client of ['127.0.2.2', '127.0.2.3']) await box.fetch(name, client)
  }
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  for (const box of boxes) await box.remove()
  await mirror?.close()
})

test('all boxes together are their sum, and a client of each is one client', { timeout: 240_000 }, async () => {
  await expect.poll(async () => (await ask<Site>(boxes[0]!, 'site')).all.boxes, { timeout: 90_000 }).toBe(3)
  const sums = async () => (await Promise.all(boxes.map((b) => ask<Summary>(b, 'summary')))).reduce((n, s) => n + s.saved_bytes, 0)
  await expect.poll(async () => (await ask<Site>(boxes[0]!, 'site')).all.saved_bytes, { timeout: 60_000 }).toBe(await sums())
  const page = await open(browser)
  await page.goto(boxes[0]!.url)
  await page.getByLabel('Figures of').selectOption('all 3 boxes')
  await page.getByRole('heading', { level: 1, name: 'by all boxes together' }).waitFor()
  await page.getByRole('radio', { name: /Ever/ }).check()
  await expect.poll(async () => Number((await page.locator('.large').innerText()).replace(/[^\d.]/g, ''))).toBeCloseTo((await sums()) / 1e6, 1)
  const table = page.getByRole('region', { name: 'Boxes' })
  expect(await table.locator('tbody tr').count()).toBe(3)
  // The page asks for packages every half minute.
  await page.getByRole('region', { name: 'Packages that saved most' }).getByRole('link', { name: 'vim', exact: true }).waitFor({ timeout: 90_000 })
  // The price of this box counts for what all saved.
  expect(await page.locator('.money').count()).toBe(0)
  await fetch(`${boxes[0]!.url}/api/v1/price`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ per_gb: 1000, currency: 'EUR' }),
  })
  await page.reload()
  await page.getByLabel('Figures of').selectOption('all 3 boxes')
  await page.getByRole('radio', { name: /Ever/ }).check()
  const money = async () => Number((await page.locator('.money').innerText()).replace(/[^\d.]/g, ''))
  await expect.poll(money).toBeCloseTo((await sums()) / 1e6, 0)
  // 127.0.0.1, .2.2 and .2.3 came to each of them.
  await expect.poll(() => page.locator('.glance dd').first().innerText(), { timeout: 60_000 }).toMatch(/^(about )?3$/)
  await accessible(page)
  expect(page.complaints).toEqual([])
  await page.close()
})

test('a box that was named bears its name, and one that is away is marked', { timeout: 180_000 }, async () => {
  const page = await open(browser)
  await giveToken(page, boxes[0]!.url, token)
  await page.goto(boxes[0]!.url + '/#/swarm')
  const [, second, third] = (await ask<SiteBoxes>(boxes[0]!, 'site/boxes')).boxes.map((b) => b.id)
  const give = async (id: string, name: string) => {
    await page.getByRole('button', { name: `Name …${id.slice(-8)}` }).click()
    await page.getByLabel(/^Name of/).fill(name)
    await page.getByRole('button', { name: 'Save' }).click()
    await page.locator('.graph .node text', { hasText: name }).waitFor({ timeout: 30_000 })
  }
  await give(second!, 'cellar')
  await give(third!, 'attic')
  await page.goto(boxes[0]!.url + '/#/')
  await page.getByLabel('Figures of').selectOption('all 3 boxes')
  await page.getByRole('button', { name: 'attic', exact: true }).waitFor()

  const at = new Map(await Promise.all(boxes.map(async (b) => [(await ask<{ id: string }>(b, 'swarm')).id, b] as const)))
  await at.get(third!)!.stop()
  await page.getByText(/away since/).waitFor({ timeout: 90_000 })
  await page.getByText('1 box is away and counts with what was last known.').waitFor()
  expect((await ask<Site>(boxes[0]!, 'site')).all.boxes).toBe(3)
  await page.getByRole('button', { name: 'attic', exact: true }).click()
  await page.getByRole('heading', { level: 1, name: 'by attic' }).waitFor()
  await page.getByText(/Away: these are its figures of/).waitFor()
  expect(page.complaints).toEqual([])
  await page.close()
})
