// What mirrors were spared, and what went past the cache in tunnels.
import { connect } from 'node:net'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { MirrorLoads, Setup, Tunnels } from '../src/api.ts'
import { bytes } from '../src/units.ts'
import { type Box, startBox } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, launch, open } from './page.ts'

let mirror: Mirror
let box: Box
let browser: Browser

beforeAll(async () => {
  mirror = await startMirror()
  box = await startBox(mirror)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await mirror?.close()
})

const ask = async <T>(path: string) => (await (await fetch(`${box.url}/api/v1/${path}`)).json()) as T

/** tunnel takes a package in a tunnel through the box; it returns the bytes that came out of it. */
function tunnel(path: string): Promise<number> {
  return new Promise((done, failed) => {
    let got = 0
    let opened = false
    const c = connect(box.port, '127.0.0.1', () => c.write(`CONNECT ${mirror.host} HTTP/1.1\r\nHost: ${mirror.host}\r\n\r\n`))
    c.on('data', (b) => {
      if (opened) {
        got += b.length
        return
      }
      opened = true
      if (!/^HTTP\/1\.1 200/.test(b.toString())) return failed(new Error(`the tunnel is not opened: ${b}`))
      c.write(`GET /debian/${path} HTTP/1.1\r\nHost: ${mirror.host}\r\nConnection: close\r\n\r\n`)
    })
    c.on('end', () => c.end())
    c.on('close', () => done(got))
    c.on('error', failed)
  })
}

test('two of three clients spare the mirror a request and its bytes', async () => {
  await box.update()
  const loads = async () => (await ask<MirrorLoads>('mirrors/load')).sum
  await expect.poll(async () => (await loads()).client_requests, { timeout: 15_000 }).toBe(3)
  const before = await loads()
  let size = 0
  for (const from of ['127.0.3.1', '127.0.3.2', '127.0.3.3']) size = await box.fetch(mirror.names[0]!, from)
  await expect.poll(async () => (await loads()).client_requests, { timeout: 15_000 }).toBe(6)
  const after = await loads()
  expect(after.spared_requests - before.spared_requests).toBe(2)
  expect(after.spared_bytes - before.spared_bytes).toBe(2 * size)

  const page = await open(browser)
  await page.goto(box.url + '/#/mirrors')
  const row = page.getByRole('region', { name: 'What mirrors were spared' }).locator('tbody tr').filter({ hasText: mirror.host })
  await row.getByText(bytes(after.spared_bytes), { exact: true }).waitFor()
  await page
    .locator('section', { has: page.locator('#spared') })
    .getByText(`of ${bytes(after.client_bytes)} to clients`)
    .waitFor()
  await page.getByText('Nothing went through a tunnel.').waitFor()
  expect(page.complaints).toEqual([])
  await page.close()
})

test('tunnels are shown by host, each with what to change', async () => {
  const got = await tunnel(mirror.names[1]!)
  expect(got).toBeGreaterThan(1e6)
  await expect.poll(async () => (await ask<Tunnels>('tunnels')).bytes, { timeout: 15_000 }).toBeGreaterThanOrEqual(got)
  const tunnels = await ask<Tunnels>('tunnels')
  const { script } = (await ask<Setup>('setup')).addresses[0]!

  const page = await open(browser)
  await page.goto(box.url + '/#/mirrors')
  await page.getByText(`${bytes(tunnels.bytes)} in the last ${tunnels.days} days went through uncached.`).waitFor()
  const row = page.getByRole('listitem').filter({ hasText: '1 tunnel,' })
  expect(await row.locator('b').innerText()).toBe(mirror.host)
  const [instead, source] = await row.locator('.change code').allInnerTexts()
  expect(source).toBe(`https://${mirror.host}/`)
  expect(instead).toBe(`${script.replace('/setup.sh', '')}/https/${mirror.host}/`)
  await page.getByText(`curl -fsS ${script} | sudo sh -s -- --https`).waitFor()
  await accessible(page)
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/tunnels.png`, fullPage: true })
  expect(page.complaints).toEqual([])
  await page.close()
})
