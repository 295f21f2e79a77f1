// `npm run screenshots` writes each view in both themes, wide and narrow, to
// screenshots/, of a box with some life in it.
import { mkdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { Peer, Prefetch } from '../src/api.ts'
import { type Box, startBox, token } from './box.ts'
import { startMirror } from './mirror.ts'
import { launch, open, views } from './page.ts'

const out = new URL('../screenshots/', import.meta.url).pathname

test('screenshots', { timeout: 400_000 }, async () => {
  mkdirSync(out, { recursive: true })
  const mirror = await startMirror({ signed: true })
  mirror.publish(0, new Date(Date.now() - 3 * 86_400_000))
  const keys = { MILLPOND_KEYRING_DIR: mirror.keyring }
  const box = await startBox(mirror, {
    ...keys,
    MILLPOND_ADMIN_TOKEN: token,
    MILLPOND_INDEX_TTL: '1s',
    MILLPOND_RINGS: 'canary; prod after=canary delay=3d',
    MILLPOND_FOLLOW: `http://${mirror.host}/debian stable main amd64 package:vim`,
  })
  const others: Box[] = []
  const browser = await launch()
  try {
    for (let i = 0; i < 4; i++) others.push(await startBox(mirror, { ...keys, MILLPOND_BOOTSTRAP: box.url }))
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
    // Clients of rings, then a newer generation, which a prefetch follows.
    for (const ring of ['canary', 'prod']) await fetch(`${box.url}/ring/${ring}/${mirror.host}/debian/dists/stable/InRelease`)
    mirror.publish(5)
    await expect
      .poll(
        async () => {
          await box.update()
          return ((await (await fetch(box.url + '/api/v1/prefetch')).json()) as Prefetch).total.files
        },
        { timeout: 60_000, interval: 500 },
      )
      .toBeGreaterThan(0)
    await box.fetch(mirror.names[0]!.replace('1.0-1', '1.0-2'))
    mirror.speed = 1e6
    const slow = box.fetch(mirror.slow).catch(() => 0)
    for (const scheme of ['light', 'dark'] as const) {
      for (const [width, height] of [
        [1280, 800],
        [360, 780],
      ] as const) {
        const page = await open(browser, { width, height, scheme })
        for (const view of [...views, 'packages/firefox-esr']) {
          await page.goto(`${box.url}/#/${view}`)
          await page.waitForTimeout(view === 'packages' ? 3500 : view === '' ? 5000 : 1500)
          if (view === '') {
            await page.getByRole('radio', { name: /Today/ }).check()
            await page.mouse.move(0, 0)
            await page.waitForTimeout(500)
          }
          await page.screenshot({
            path: `${out}${view.split('/')[1] ? 'package' : view || 'overview'}-${scheme}-${width}.png`,
            fullPage: width < 400 || view === 'archive',
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
