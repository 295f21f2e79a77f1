// `npm run screenshots` writes each view in both themes, wide and narrow, to
// screenshots/, of a box with some life in it.
import { mkdirSync } from 'node:fs'
import { test } from 'vitest'
import { startBox, token } from './box.ts'
import { startMirror } from './mirror.ts'
import { launch, open, views } from './page.ts'

const out = new URL('../screenshots/', import.meta.url).pathname

test('screenshots', async () => {
  mkdirSync(out, { recursive: true })
  const mirror = await startMirror()
  const box = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token })
  const browser = await launch()
  try {
    await box.update()
    for (let i = 2; i < 40; i++) for (const name of mirror.names.slice(0, 1 + (i % 9))) await box.fetch(name, `127.0.1.${i}`)
    await fetch(`${box.url}/10.9.8.7/debian/dists/stable/InRelease`).catch(() => undefined)
    mirror.speed = 1e6
    const slow = box.fetch(mirror.slow).catch(() => 0)
    for (const scheme of ['light', 'dark'] as const) {
      for (const [width, height] of [[1280, 800], [360, 780]] as const) {
        const page = await open(browser, { width, height, scheme })
        for (const view of views) {
          await page.goto(`${box.url}/#/${view}`)
          await page.waitForTimeout(view === 'slice' ? 3500 : view === '' ? 5000 : 1500)
          if (view === '') {
            await page.getByRole('radio', { name: /Today/ }).check()
            await page.mouse.move(0, 0)
            await page.waitForTimeout(500)
          }
          await page.screenshot({ path: `${out}${view || 'overview'}-${scheme}-${width}.png`, fullPage: width < 400 })
        }
        await page.close()
      }
    }
    void slow
  } finally {
    await browser.close()
    await box.remove()
    await mirror.close()
  }
})
