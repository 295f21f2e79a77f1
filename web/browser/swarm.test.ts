// Three boxes that know each other, and the drawing of them.
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Graph } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { accessible, launch, open } from './page.ts'

let mirror: Mirror
let boxes: Box[] = []
let browser: Browser

const graphOf = async (box: Box) => (await (await fetch(box.url + '/api/v1/swarm/graph')).json()) as Graph

/** joined waits until box knows of n boxes that are all connected. */
async function joined(box: Box, n: number): Promise<Graph> {
  for (let i = 0; i < 120; i++) {
    const graph = await graphOf(box)
    if (graph.nodes.length === n && graph.links.length === (n * (n - 1)) / 2 && graph.silent.length === 0) return graph
    await new Promise((done) => setTimeout(done, 500))
  }
  throw new Error(`the boxes do not find each other: ${JSON.stringify(await graphOf(box))}`)
}

beforeAll(async () => {
  mirror = await startMirror()
  const first = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token })
  boxes = [first]
  for (let i = 0; i < 2; i++) boxes.push(await startBox(mirror, { MILLPOND_BOOTSTRAP: boxes.map((b) => b.url).join() }))
  await joined(first, 3)
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  for (const box of boxes) await box.remove()
  await mirror?.close()
})

describe.each(['light', 'dark'] as const)('in %s', (scheme) => {
  test('the drawing has no serious fault of access and fits 360 px', async () => {
    const page = await open(browser, { scheme })
    await page.goto(boxes[0]!.url + '/#/swarm')
    await page.locator('.graph .node').nth(2).waitFor()
    await accessible(page)
    await page.setViewportSize({ width: 360, height: 780 })
    const letters = await page
      .locator('.graph .node text')
      .first()
      .evaluate((t) => (t as SVGTextElement).getBoundingClientRect().height)
    expect(letters, 'height of a label at 360 px').toBeGreaterThan(11)
    expect(page.complaints).toEqual([])
    await page.close()
  })
})

test('the drawing and the list tell the graph', async () => {
  const graph = await graphOf(boxes[0]!)
  const page = await open(browser)
  await page.goto(boxes[0]!.url + '/#/swarm')
  await page.locator('.graph .node').nth(2).waitFor()
  expect(await page.locator('.graph .node').count()).toBe(3)
  expect(await page.locator('.graph .node.self').count()).toBe(1)
  expect(await page.locator('.graph > svg > line.direct').count()).toBe(graph.links.length)
  expect(await page.locator('.graph > svg > line.own').count()).toBe(2)
  await page.getByText('The 3 links as a list').click()
  const told = await page.locator('.links li').allInnerTexts()
  expect(told.length).toBe(3)
  expect(told.filter((t) => t.includes('this box')).length).toBe(2)
  for (const t of told) expect(t).toMatch(/^\S.* – \S.*, direct(, [\d.]+\sms)?$/)
  await page.close()
})

test('the keyboard goes around the boxes', async () => {
  const page = await open(browser)
  await page.goto(boxes[0]!.url + '/#/swarm')
  const self = page.locator('.graph .node.self')
  await self.waitFor()
  expect(await page.locator('.graph .node[tabindex="0"]').count(), 'stops of the tab key').toBe(1)
  await self.focus()
  await page.keyboard.press('Enter')
  await page.locator('.said', { hasText: 'This box: 2 links, 2 direct and 0 relayed' }).waitFor()
  await page.keyboard.press('ArrowRight')
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-id'))
  const next = await focused()
  expect(next).not.toBe(await self.getAttribute('data-id'))
  await page.locator('.said', { hasText: next!.slice(-8) }).waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.said', { hasText: 'Choose a box' }).waitFor()
  await page.close()
})

test('nothing moves while figures come in, and a box that leaves leaves the drawing', { timeout: 180_000 }, async () => {
  const page = await open(browser)
  await page.goto(boxes[0]!.url + '/#/swarm')
  await page.locator('.graph .node').nth(2).waitFor()
  const places = () => page.locator('.graph .node rect').evaluateAll((all) => all.map((r) => JSON.stringify(r.getBoundingClientRect())))
  const before = await places()
  await page.waitForResponse((r) => r.url().endsWith('/swarm/graph'), { timeout: 30_000 })
  await page.waitForTimeout(300)
  expect(await places()).toEqual(before)
  const height = () => page.locator('.graph').evaluate((e) => e.getBoundingClientRect().height)
  const tall = await height()
  await boxes[2]!.stop()
  await expect.poll(() => page.locator('.graph .node').count(), { timeout: 90_000 }).toBe(2)
  expect(await height()).toBe(tall)
  await page.close()
})
