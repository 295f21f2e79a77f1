// The first day of a box: from nothing over the first copy to the first bytes saved.
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Periods, Setup } from '../src/api.ts'
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

test('three steps are ticked off as they happen, then the box fills, then it saves', async () => {
  const page = await open(browser)
  await page.goto(box.url)
  await page.getByText('Three steps to the first client').waitFor()
  const setup = (await (await fetch(box.url + '/api/v1/setup')).json()) as Setup
  const script = setup.addresses[0]?.script ?? `${box.url}/setup.sh`
  expect(script).toMatch(new RegExp(`^http://.+:${box.port}/setup\\.sh$`))
  await page.getByText(`/usr/lib/apt/apt-helper download-file ${script} setup.sh && sudo sh setup.sh`).waitFor()
  await page.getByText('What will stand here').waitFor()
  expect(await page.locator('.chart').count(), 'no empty chart').toBe(0)
  const done = () => page.locator('.firstday li.done').count()
  expect(await done()).toBe(0)
  await accessible(page)
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/firstday-none.png` })

  await box.update()
  await expect.poll(done, { timeout: 15_000 }).toBe(2)
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/firstday-two.png` })
  await box.fetch(mirror.names[0]!)
  await expect.poll(done, { timeout: 15_000 }).toBe(3)
  await page.getByText('The first client is served').waitFor()

  await page.reload()
  await page.getByText('The first copy costs, savings begin with the second client').waitFor()
  expect(await page.locator('.large').innerText()).toBe('Filling')
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/firstday-filling.png` })
  await box.fetch(mirror.names[0]!, '127.0.2.2')
  const saved = async () => ((await (await fetch(box.url + '/api/v1/periods')).json()) as Periods).ever.saved_bytes
  await expect.poll(saved, { timeout: 15_000 }).toBeGreaterThan(0)
  await page.reload()
  await expect.poll(() => page.locator('.large').innerText()).toMatch(/^[\d.]+\s?[kM]B$/)
  expect(page.complaints).toEqual([])
  await page.close()
})

test('the bars of a young box are minutes, and dragging chooses a span of time', async () => {
  const page = await open(browser)
  await page.goto(box.url)
  await page.locator('.chart .u-over').waitFor()
  await expect.poll(() => coloured(page), { message: 'the bar of the present minute is drawn' }).toBeGreaterThan(200)
  const span = () => page.locator('.history .head p').innerText()
  await page.locator('.chart').focus()
  // Half an hour, with a bar for each minute.
  await expect
    .poll(async () => {
      await page.keyboard.press('ArrowLeft')
      const [from, to] = [...(await span()).matchAll(/(\d\d):(\d\d)/g)].map((m) => Number(m[1]) * 60 + Number(m[2]))
      return (to! - from! + 1440) % 1440
    })
    .toBe(1)
  await page.keyboard.press('Escape')
  const whole = await span()
  const at = (await page.locator('.chart .u-over').boundingBox())!
  await page.mouse.move(at.x + at.width * 0.6, at.y + 40)
  await page.mouse.down()
  await page.mouse.move(at.x + at.width * 0.8, at.y + 40, { steps: 4 })
  await page.mouse.up()
  await page.getByRole('button', { name: 'Back to the period' }).waitFor()
  await expect.poll(span).not.toBe(whole)
  // Whatever came did so later.
  await page.getByText(/Clients got nothing from/).waitFor()
  if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/range.png` })
  await page.getByRole('button', { name: 'Back to the period' }).click()
  await expect.poll(span).toBe(whole)

  // The same without dragging.
  await page.getByText('From … to').click()
  const yesterday = new Date(Date.now() - 86_400_000)
  await page.getByLabel('From', { exact: true }).fill(yesterday.toISOString().slice(0, 16))
  await page.getByRole('button', { name: 'Show it' }).click()
  await page.getByRole('button', { name: 'Back to the period' }).waitFor()
  await page.getByText(/of the .* that clients got from/).waitFor()
  expect(page.complaints).toEqual([])
  await page.close()
})

/** coloured is how many pixels of the chart are neither grey nor black nor white. */
const coloured = (page: Page) =>
  page.locator('.chart canvas').evaluate((c: HTMLCanvasElement) => {
    const { data } = c.getContext('2d')!.getImageData(0, 0, c.width, c.height)
    let n = 0
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, a] = data.slice(i, i + 4)
      if (a! > 128 && Math.max(r!, g!, b!) - Math.min(r!, g!, b!) > 40) n++
    }
    return n
  })
