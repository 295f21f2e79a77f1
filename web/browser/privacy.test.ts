// What the box keeps about clients: erasing one, and MILLPOND_PRIVACY.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { PageAccount, Summary } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, giveToken, launch, open } from './page.ts'

let mirror: Mirror
let browser: Browser

beforeAll(async () => {
  mirror = await startMirror()
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await mirror?.close()
})

async function used(settings: Record<string, string>): Promise<Box> {
  const box = await startBox(mirror, settings)
  await box.update()
  for (const client of ['127.0.2.2', '127.0.2.3']) for (const name of mirror.names.slice(0, 4)) await box.fetch(name, client)
  return box
}

const ask = async <T>(box: Box, path: string) => (await (await fetch(`${box.url}/api/v1/${path}`)).json()) as T

test('an administrator can erase a client, after being asked back', async () => {
  const box = await used({ MILLPOND_ADMIN_TOKEN: token })
  const before = await ask<Summary>(box, 'summary')
  const page = await open(browser)
  await page.goto(box.url + '/#/clients')
  const row = page.getByRole('row').filter({ hasText: '127.0.2.2' })
  await row.waitFor()
  expect(await page.getByRole('button', { name: /Erase/ }).count()).toBe(0)

  await giveToken(page, box.url, token)
  await page.goto(box.url + '/#/clients')
  const button = page.getByRole('button', { name: 'Erase 127.0.2.2', exact: true })
  await button.click()
  await page.getByRole('button', { name: 'Keep' }).click()
  await button.click()
  await accessible(page)
  await page.setViewportSize({ width: 1280, height: 800 })
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/erase-asks.png` })
  await page.getByRole('button', { name: 'Erase for good: 127.0.2.2' }).click()
  await page.getByText('Erased. Its bytes and requests still count').waitFor()
  await row.waitFor({ state: 'detached' })
  await page.getByRole('row').filter({ hasText: 'others' }).waitFor()
  expect(await page.getByRole('button', { name: /^Erase others/ }).count()).toBe(0)
  await page.getByRole('button', { name: 'Erase 127.0.2.3', exact: true }).waitFor()
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/erase-done.png` })
  await page.goto(box.url + '/#/packages/' + mirror.names[0]!.split('/').pop()!.split('_')[0])
  await page.getByText('127.0.2.3').waitFor()
  expect(await page.getByText('127.0.2.2').count()).toBe(0)
  const { items } = await ask<PageAccount>(box, 'clients')
  expect(items.map((a) => a.name).sort()).toEqual(['127.0.0.1', '127.0.2.3', 'others'])
  expect((await ask<Summary>(box, 'summary')).client_bytes).toBe(before.client_bytes)
  expect(page.complaints).toEqual([])
  await page.close()
  await box.remove()
})

test('the page tells what MILLPOND_PRIVACY has the box not keep, before somebody would erase it', async () => {
  const box = await used({ MILLPOND_PRIVACY: 'no-client-names,no-packages-per-client,days=90' })
  const page = await open(browser)
  await page.goto(box.url + '/#/clients')
  await page.getByText('About its clients, this box keeps no names, no packages and nothing older than 90 days.').waitFor()
  await page.goto(box.url + '/#/packages/' + mirror.names[0]!.split('/').pop()!.split('_')[0])
  await page.getByText('This box does not keep which clients asked').waitFor()
  await box.remove()
  const nobody = await used({ MILLPOND_PRIVACY: 'no-clients' })
  await page.goto(nobody.url + '/#/clients')
  await page.getByText('This box keeps nothing about single clients').waitFor()
  await page.getByRole('row').filter({ hasText: 'others' }).waitFor()
  expect(await page.getByText('127.0.2.').count()).toBe(0)
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/erase-nobody.png` })
  await page.close()
  await nobody.remove()
})
