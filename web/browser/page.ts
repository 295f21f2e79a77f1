// The page in Debian's Chromium.
import axe from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'
import { expect } from 'vitest'

export const views = ['', 'packages', 'archive', 'clients', 'mirrors', 'swarm', 'transfers', 'events', 'settings', 'setup']

export function launch(more: string[] = []): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Containers have neither user namespaces nor a large /dev/shm.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', ...more],
  })
}

export interface Look {
  width?: number
  height?: number
  scheme?: 'light' | 'dark'
}

/** open opens a page that gathers what it complains of. */
export async function open(browser: Browser, { width = 1280, height = 800, scheme = 'light' }: Look = {}): Promise<Page & { complaints: string[] }> {
  const page = (await browser.newPage({ viewport: { width, height }, colorScheme: scheme })) as Page & { complaints: string[] }
  page.complaints = []
  page.on('console', (m) => m.type() === 'error' && page.complaints.push(m.text()))
  page.on('pageerror', (e) => page.complaints.push(String(e)))
  return page
}

/** unfold shows all that a narrow screen shows only when it is asked. */
export async function unfold(page: Page) {
  const show = page.getByRole('button', { name: /^Show/ })
  while ((await show.count()) > 0) await show.first().click()
}

/** accessible checks at three widths that nothing overflows and that axe has no serious finding. */
export async function accessible(page: Page) {
  for (const width of [360, 1280, 3840]) {
    await page.setViewportSize({ width, height: width === 360 ? 780 : 1080 })
    await page.waitForTimeout(150)
    if (width === 360) await unfold(page)
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    expect(over, `overflow at ${width} px`).toBeLessThanOrEqual(0)
    // By the protocol, which the page's policy does not bind.
    await page.evaluate(axe.source)
    const { violations } = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run())
    const serious = violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')
    expect(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`)).toEqual([])
  }
}

/** giveToken gives the page the admin token, as an administrator would. */
export async function giveToken(page: Page, url: string, word: string) {
  await page.goto(url + '/#/settings')
  const on = page.getByText('Admin actions are on in this tab')
  await page.getByLabel('Admin token').or(on).waitFor()
  if (await on.isVisible()) return
  await page.getByLabel('Admin token').fill(word)
  await page.getByRole('button', { name: 'Use it' }).click()
  await on.or(page.getByText('Wrong token')).waitFor()
}
