// The page in a real browser against the real box.
import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { PageHost } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, giveToken, launch, open, views } from './page.ts'

let mirror: Mirror
let box: Box
let browser: Browser

beforeAll(async () => {
  mirror = await startMirror()
  box = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token })
  await box.update()
  for (let i = 2; i < 12; i++) for (const name of mirror.names.slice(0, i)) await box.fetch(name, `127.0.1.${i}`)
  await fetch(`${box.url}/10.9.8.7/debian/dists/stable/InRelease`).catch(() => undefined)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await mirror?.close()
})

const headings: Record<string, string> = { '': 'Saved from the mirrors', setup: 'Set up a client', 'packages/vim': 'vim' }

describe.each(['light', 'dark'] as const)('in %s', (scheme) => {
  test.each([...views, 'packages/vim'])('view %j stands, has no serious fault of access and fits 360 px', async (view) => {
    const page = await open(browser, { scheme, width: 360, height: 780 })
    await page.goto(`${box.url}/#/${view}`)
    await page.getByRole('heading', { level: 1, name: headings[view] ?? new RegExp(view, 'i') }).waitFor()
    await page.waitForTimeout(1500)
    const screens = await page.evaluate(() => document.documentElement.scrollHeight / innerHeight)
    expect(screens, 'screens of a phone until more is asked for').toBeLessThan(4)
    for (const link of await page.getByRole('navigation', { name: 'Views' }).getByRole('link').all()) {
      const at = (await link.boundingBox())!
      expect(at.x >= 0 && at.x + at.width <= 360 && at.y < 300, `${await link.innerText()} is seen`).toBe(true)
    }
    await accessible(page)
    expect(page.complaints).toEqual([])
    await page.close()
  })
})

test('the first screen answers without scrolling', async () => {
  for (const [width, height] of [
    [1280, 800],
    [1920, 1080],
    [3840, 2160],
  ] as const) {
    const page = await open(browser, { width, height })
    await page.goto(box.url)
    await page.getByText('Healthy').waitFor()
    for (const what of [
      page.locator('.large'),
      page.locator('.health .word'),
      page.locator('.now'),
      page.locator('.suites li').first(),
      page.locator('.chart'),
    ]) {
      const at = await what.boundingBox()
      expect(at!.y + at!.height, `at ${width}×${height}`).toBeLessThanOrEqual(height)
    }
    await page.close()
  }
})

test('what is saved is the ledger’s figure, and its definition a click away', async () => {
  const page = await open(browser)
  await page.goto(box.url)
  await page.getByText('Healthy').waitFor()
  const summary = (await (await fetch(box.url + '/api/v1/summary')).json()) as { saved_bytes: number }
  const number = Number((await page.locator('.large').innerText()).replace(/[^\d.]/g, ''))
  expect(number).toBeCloseTo(summary.saved_bytes / 1e6, 0)
  await page.getByRole('button', { name: 'What counts as saved?' }).click()
  await page.getByText('saved = sent to clients − taken from mirrors').waitFor()
  await page.keyboard.press('Escape')
  expect(await page.getByText('saved = sent to clients').isVisible()).toBe(false)
  await page.close()
})

test('requests to mirrors are the ledger’s, by host and status', async () => {
  await box.update() // the views before may have taken longer than the TTL
  await box.update('127.0.1.2')
  const page = await open(browser)
  await page.goto(box.url)
  const asked = async () => {
    const hosts = (await (await fetch(box.url + '/api/v1/hosts')).json()) as PageHost
    return hosts.items.find((h) => h.mirror_requests > 0)!
  }
  // Accounts are what is written, which happens twice a second.
  await expect.poll(async () => (await asked()).revalidations_avoided, { timeout: 10_000 }).toBeGreaterThan(0)
  const h = await asked()
  expect(h.answers.reduce((n, a) => n + a.requests, 0)).toBe(h.mirror_requests)
  await page.getByText(`Mirrors got ${h.mirror_requests} requests; ${h.revalidations_avoided} `).waitFor()
  await page.getByRole('link', { name: 'By host' }).click()
  expect(await page.getByText('Mirrors of one archive').count()).toBe(0) // none has several
  const row = page.getByRole('region', { name: 'Hosts' }).getByRole('row', { name: h.name })
  await row.waitFor()
  const cell = (name: string) => row.locator(`[data-name="${name}"]`).innerText()
  expect(await cell('Requests to it')).toBe(String(h.mirror_requests))
  expect(await cell('Avoided')).toBe(String(h.revalidations_avoided))
  for (const a of h.answers) expect(await cell('Its answers')).toMatch(new RegExp(`${a.status}\\s+${a.requests}`))
  expect(page.complaints).toEqual([])
  await page.close()
})

test('figures and transfers move while a file comes, and nothing else does', async () => {
  mirror.speed = 4e6
  const page = await open(browser)
  await page.addInitScript(() => {
    const w = window as unknown as { shift: number }
    w.shift = 0
    new PerformanceObserver((l) => {
      for (const e of l.getEntries()) w.shift += (e as unknown as { value: number }).value
    }).observe({ type: 'layout-shift', buffered: true })
  })
  await page.goto(box.url)
  await page.getByText('Healthy').waitFor()
  const slow = box.fetch(mirror.slow)
  await page.waitForFunction(() => /MB\/s/.test(document.querySelector('.now dd')?.textContent ?? ''))
  await page.waitForTimeout(2500)
  expect(await page.evaluate(() => (window as unknown as { shift: number }).shift)).toBeLessThan(0.02)
  await page.getByRole('link', { name: /Transfers/ }).click()
  const bar = page.getByRole('progressbar')
  const at = async () => Number(await bar.getAttribute('aria-valuenow'))
  await bar.waitFor()
  const before = await at()
  await page.waitForTimeout(2500)
  expect(await at()).toBeGreaterThan(before)
  expect(await bar.getAttribute('aria-valuetext')).toContain('from the mirror')
  await slow
  await page.getByText('Nothing is being downloaded.').waitFor()
  expect(page.complaints).toEqual([])
  await page.close()
})

test('the page tells that the box is gone and finds it again', async () => {
  const page = await open(browser)
  await page.goto(box.url)
  await page.getByText('Healthy').waitFor()
  const begun = Date.now()
  await box.stop()
  expect(Date.now() - begun, 'an open page must not hold up the box’s end').toBeLessThan(5000)
  await page.getByText('Unreachable').waitFor()
  await box.run()
  await page.getByText('Healthy').waitFor({ timeout: 10_000 })
  await page.close()
})

test('keyboard: skip link, views, periods, chart', async () => {
  const page = await open(browser)
  await page.goto(box.url)
  await page.getByText('Healthy').waitFor()
  await page.keyboard.press('Tab')
  expect(await page.evaluate(() => document.activeElement?.textContent)).toContain('To the content')
  await page.keyboard.press('Enter')
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('main')
  await page.locator('.periods input:checked').focus()
  await page.keyboard.press('ArrowLeft')
  expect(await page.locator('.periods input:checked').getAttribute('value')).toBe('day')
  const readout = () => page.locator('.history .head p').innerText()
  const whole = await readout()
  await page.locator('.chart').focus()
  await page.keyboard.press('ArrowLeft')
  await expect.poll(readout).not.toBe(whole)
  await page.keyboard.press('Escape')
  await expect.poll(readout).toBe(whole)
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Clients' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { level: 1, name: 'Clients' }).waitFor()
  await page.close()
})

test('colours follow the system and the switch', async () => {
  const page = await open(browser, { scheme: 'dark' })
  await page.goto(box.url)
  const paper = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
  const dark = await paper()
  await page.getByRole('button', { name: /Colours/ }).click()
  expect(await paper()).not.toBe(dark)
  await page.reload()
  expect(await paper()).not.toBe(dark)
  await page.close()
})

test('a refusal stands among the events with the setting that would allow it', async () => {
  const page = await open(browser)
  await fetch(`${box.url}/10.9.8.7/debian/dists/stable/InRelease`).catch(() => undefined)
  await page.goto(box.url + '/#/events')
  await page.getByText('MILLPOND_ALLOW_UPSTREAMS=10.9.8.7').waitFor()
  await page.getByLabel('Kind').selectOption('refusals')
  await expect.poll(() => page.url()).toContain('#/events?kind=refusal')
  await page.getByText('MILLPOND_ALLOW_UPSTREAMS=10.9.8.7').waitFor()
  await page.getByLabel('Host').fill('archive.example.org')
  await page.getByText('Nothing of the kind happened.').waitFor()
  await page.getByLabel('Host').fill('')
  await page
    .getByRole('link', { name: /^(localhost|127\.0\.0\.1)$/ })
    .first()
    .waitFor()
  await page.close()
})

test('admin actions need the token', async () => {
  const page = await open(browser)
  await page.goto(box.url + '/#/packages')
  await page.getByRole('searchbox').fill('vim')
  await page.getByText('vim_1.0-1_amd64.deb').waitFor()
  expect(await page.getByRole('button', { name: 'Pin' }).count()).toBe(0)

  const give = async (word: string) => {
    await giveToken(page, box.url, word)
    await page.goto(box.url + '/#/packages?q=vim_')
  }
  await giveToken(page, box.url, 'wrong')
  await page.getByText('Wrong token').waitFor()
  await page.goto(box.url + '/#/packages?q=vim_')
  await page.getByText('vim_1.0-1_amd64.deb').waitFor()
  expect(await page.getByRole('button', { name: 'Pin' }).count()).toBe(0)

  await give(token)
  await page.reload() // the tab keeps the token
  await page.getByRole('button', { name: 'Pin', exact: true }).click()
  await page.getByRole('button', { name: 'Unpin' }).waitFor()
  await page.getByRole('button', { name: 'Verify' }).click()
  await page.getByText('verified').waitFor()
  const evict = page.getByRole('button', { name: 'Evict vim_1.0-1_amd64.deb', exact: true })
  await evict.click()
  await page.getByRole('button', { name: 'Keep' }).click()
  await evict.click()
  await page.getByRole('button', { name: 'Evict now: vim_1.0-1_amd64.deb' }).click()
  await page.getByText('The box holds no file named').waitFor()
  await page.goto(box.url + '/#/swarm')
  await page.getByLabel(/MB\/s to all boxes/).fill('2.5')
  await page.getByRole('button', { name: 'Change', exact: true }).click()
  await page.getByText('2.5 MB/s until the box is started again').waitFor()
  const html = await page.content()
  expect(html).not.toContain(token)
  await page.goto(box.url + '/#/settings')
  await page.getByRole('button', { name: 'Forget the token' }).click()
  await page.getByLabel('Admin token').waitFor()
  await page.reload()
  await page.getByLabel('Admin token').waitFor()
  await page.close()
})

test('with a read token the browser asks for it, and the page stays live', async () => {
  const read = 'tell-me-what-you-hold'
  const other = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token, MILLPOND_DASHBOARD_ACCESS: `token:${read}` })
  const guess = await browser.newContext({ httpCredentials: { username: 'anybody', password: 'a-guess' } })
  const stranger = await guess.newPage()
  await stranger.goto(other.url)
  // Parts of the page may say so first, each for itself.
  await stranger.getByText('The box shows nothing here').waitFor()
  expect(await stranger.getByText('This needs the token in MILLPOND_DASHBOARD_ACCESS').count()).toBe(1)
  expect(await stranger.getByText('Saved from the mirrors').count()).toBe(0)
  await accessible(stranger)
  await guess.close()
  const context = await browser.newContext({ httpCredentials: { username: 'anybody', password: read } })
  const page = await context.newPage()
  await page.goto(other.url)
  await page.getByText('Healthy').waitFor()
  await giveToken(page, other.url, token)
  await page.goto(other.url + '/#/swarm')
  await page.getByLabel(/MB\/s to all boxes/).fill('2.5')
  await page.getByRole('button', { name: 'Change', exact: true }).click()
  await page.getByText('2.5 MB/s until the box is started again').waitFor()
  expect((await page.goto(other.url + '/metrics'))!.status()).toBe(200)
  await context.close()
  await other.remove()
})

test('a name that anybody could own is told so', async () => {
  const other = await launch(['--host-resolver-rules=MAP box.example.org 127.0.0.1'])
  const page = await open(other)
  await page.goto(`http://box.example.org:${box.port}/`)
  // Parts of the page may say so first, each for itself.
  await page.getByText('The box shows nothing here').waitFor()
  await page.getByText('MILLPOND_DASHBOARD_ACCESS=box.example.org would allow this name').waitFor()
  await other.close()
})

test('without MILLPOND_ADMIN_TOKEN there are no actions', async () => {
  const other = await startBox(mirror)
  const page = await open(browser)
  await page.goto(other.url + '/#/settings')
  await page.getByText('Admin actions are off').waitFor()
  await page.goto(other.url + '/#/')
  await page.getByText('Three steps to the first client').waitFor()
  await page.getByText('None yet. A suite appears here').waitFor()
  await page.close()
  await other.remove()
})

/** ticks is the processor time of a process, in hundredths of a second. */
function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ')
  return Number(fields[11]) + Number(fields[12])
}

test('the first paint comes soon', async () => {
  const paints: number[] = []
  for (let i = 0; i < 7; i++) {
    const page = await open(browser) // with nothing in its cache
    await page.goto(box.url)
    await page.getByText('Healthy').waitFor()
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]!.startTime))
    await page.close()
  }
  paints.sort((a, b) => a - b)
  console.log(`first paint after ${paints.map((p) => p.toFixed(0)).join(', ')} ms`)
  expect(paints[3], 'median').toBeLessThan(300)
})

test('the first load is small, and an open page costs the box little', async () => {
  const page = await open(browser)
  let bytes = 0
  const wire = await page.context().newCDPSession(page)
  await wire.send('Network.enable')
  wire.on('Network.loadingFinished', (e) => (bytes += e.encodedDataLength))
  await page.goto(box.url)
  await page.getByText('Healthy').waitFor()
  await page.waitForTimeout(500)
  const idle = ticks(box.pid())
  const begun = Date.now()
  await page.waitForTimeout(20_000)
  const open20 = (ticks(box.pid()) - idle) / 100 / ((Date.now() - begun) / 1000)
  await page.goto('about:blank')
  await page.waitForTimeout(500)
  const closed = ticks(box.pid())
  const after = Date.now()
  await page.waitForTimeout(10_000)
  const rest = (ticks(box.pid()) - closed) / 100 / ((Date.now() - after) / 1000)
  console.log(
    `first load ${(bytes / 1000).toFixed(1)} kB, an open page ${(100 * (open20 - rest)).toFixed(2)} % of a core (the box by itself ${(100 * rest).toFixed(2)} %)`,
  )
  expect(bytes).toBeLessThan(150_000)
  expect(open20 - rest).toBeLessThan(0.01)
  await page.close()
})
