// `npm run screenshots` writes each view in both themes, wide and narrow, to
// screenshots/, of a box with some life in it.
import { mkdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Peer } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { startMirror } from './mirror.ts'
import { launch, open, views } from './page.ts'

const out = new URL('../screenshots/', import.meta.url).pathname

test('screenshots', { timeout: 400_000 }, async () => {
  mkdirSync(out, { recursive: true })
  const mirror = await startMirror()
  const box = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token })
  const others: Box[] = []
  const browser = await launch()
  try {
    for (let i = 0; i < 4; i++) others.push(await startBox(mirror, { MILLPOND_BOOTSTRAP: box.url }))
    const connected = async () => ((await (await fetch(box.url + '/api/v1/peers')).json()) as { peers: Peer[] }).peers
    await expect.poll(async () => (await connected()).length, { timeout: 60_000 }).toBe(others.length)
    // The others have some packages already, which the box takes from them.
    for (const [i, other] of others.entries()) {
      await other.update()
      for (const name of mirror.names.slice(2 * i, 2 * i + 3)) await other.fetch(name)
    }
    await expect.poll(async () => (await connected()).every((p) => p.held > 0), { timeout: 60_000 }).toBe(true)
    await box.update()
    for (const name of mirror.names) await box.fetch(name)
    for (let i = 2; i < 40; i++) {
      await box.update(`127.0.1.${i}`)
      for (const name of mirror.names.filter((_, n) => n % 9 <= i % 9)) await box.fetch(name, `127.0.1.${i}`)
    }
    await fetch(`${box.url}/10.9.8.7/debian/dists/stable/InRelease`).catch(() => undefined)
    mirror.speed = 1e6
    const slow = box.fetch(mirror.slow).catch(() => 0)
    for (const scheme of ['light', 'dark'] as const) {
      for (const [width, height] of [
        [1280, 800],
        [360, 780],
      ] as const) {
        const page = await open(browser, { width, height, scheme })
        for (const view of [...views, 'slice/firefox-esr']) {
          await page.goto(`${box.url}/#/${view}`)
          await page.waitForTimeout(view === 'slice' ? 3500 : view === '' ? 5000 : 1500)
          if (view === '') {
            await page.getByRole('radio', { name: /Today/ }).check()
            await page.mouse.move(0, 0)
            await page.waitForTimeout(500)
          }
          await page.screenshot({
            path: `${out}${view.split('/')[1] ? 'package' : view || 'overview'}-${scheme}-${width}.png`,
            fullPage: width < 400,
          })
        }
        await page.close()
      }
    }
    void slow
  } finally {
    await browser.close()
    for (const b of [...others, box]) await b.remove()
    await mirror.close()
  }
})
