// The page below a path of a reverse proxy, which strips that path: real nginx and Caddy.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Setup, Summary } from '../src/api.ts'
import { type Box, freePort, startBox, token } from './box.ts'
import { type Mirror, startMirror } from './mirror.ts'
import { launch, open, views } from './page.ts'

let mirror: Mirror
let box: Box
let browser: Browser

beforeAll(async () => {
  mirror = await startMirror()
  box = await startBox(mirror, { MILLPOND_ADMIN_TOKEN: token })
  await box.update()
  browser = await launch()
})

afterAll(async () => {
  await browser?.close()
  await box?.remove()
  await mirror?.close()
})

interface Server {
  command: string
  args(dir: string): string[]
  /** config is the text of dir/config. */
  config(dir: string, port: number, to: number): string
}

const servers: Record<string, Server> = {
  nginx: {
    command: '/usr/sbin/nginx',
    args: (dir) => ['-c', join(dir, 'config'), '-p', dir, '-e', 'stderr', '-g', 'daemon off;'],
    config: (dir, port, to) => `
worker_processes 1;
pid ${dir}/pid;
events {}
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  server {
    listen 127.0.0.1:${port};
    location /millpond/ {
      proxy_pass http://127.0.0.1:${to}/;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-Prefix /millpond;
    }
  }
}`,
  },
  caddy: {
    command: '/usr/bin/caddy',
    args: (dir) => ['run', '--adapter', 'caddyfile', '--config', join(dir, 'config')],
    config: (_, port, to) => `
{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  redir /millpond /millpond/
  handle_path /millpond/* {
    reverse_proxy 127.0.0.1:${to} {
      header_up X-Forwarded-Prefix /millpond
    }
  }
}`,
  },
}

/** serve runs a server before the box, and returns the page's address there. */
async function serve(s: Server): Promise<{ url: string; stop(): Promise<void> }> {
  const dir = mkdtempSync(join(tmpdir(), 'millpond-proxy-'))
  const port = await freePort()
  writeFileSync(join(dir, 'config'), s.config(dir, port, box.port))
  let log = ''
  const child: ChildProcess = spawn(s.command, s.args(dir), { env: { ...process.env, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir } })
  child.stderr!.on('data', (b) => (log += b))
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  const url = `http://127.0.0.1:${port}/millpond/`
  for (let i = 0; !(await fetch(url + 'readyz').catch(() => undefined))?.ok; i++) {
    if (i === 300 || child.exitCode !== null) {
      child.kill('SIGTERM')
      throw new Error(`${s.command} does not serve:\n${log}`)
    }
    await new Promise((done) => setTimeout(done, 100))
  }
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM')
      await ended
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

describe.each(Object.keys(servers))('behind %s', (name) => {
  let front: { url: string; stop(): Promise<void> }

  beforeAll(async () => {
    front = await serve(servers[name]!)
  })

  afterAll(() => front?.stop())

  test('every view loads, and asks for nothing outside of the path', async () => {
    const page = await open(browser)
    const outside: string[] = []
    const failed: string[] = []
    page.on('request', (r) => !r.url().startsWith(front.url) && outside.push(r.url()))
    page.on('response', (r) => r.status() >= 400 && failed.push(`${r.status()} ${r.url()}`))
    const events = page.waitForRequest((r) => r.url() === front.url + 'api/v1/events')
    await page.goto(front.url)
    await page.getByRole('heading', { level: 1 }).waitFor()
    expect((await (await events).response())!.status()).toBe(200)
    for (const view of views) {
      await page.goto(`${front.url}#/${view}`)
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.waitForLoadState('load')
      const links = await page
        .locator('a[href], img[src], link[href], script[src]')
        .evaluateAll((all) => all.map((a) => (a as HTMLAnchorElement).href || (a as HTMLImageElement).src))
      expect(
        links.filter((l) => l.startsWith(new URL(front.url).origin) && !l.startsWith(front.url)),
        view,
      ).toEqual([])
    }
    expect({ outside, failed, complaints: page.complaints }).toEqual({ outside: [], failed: [], complaints: [] })
    await page.close()
  })

  test('the page lives: what a client gets now is shown without a reload', async () => {
    const seen = (await (await fetch(front.url + 'api/v1/summary')).json()) as Summary
    const stream = await fetch(front.url + 'api/v1/events', { headers: { Accept: 'text/event-stream' } })
    expect(stream.headers.get('Content-Type')).toContain('text/event-stream')
    const reader = stream.body!.getReader()
    await reader.read()
    await box.fetch(mirror.names[0]!)
    let text = ''
    const grew = async () => {
      text += new TextDecoder().decode((await reader.read()).value)
      const ticks = [...text.matchAll(/^data: (.*)\n\n/gm)]
      return ticks.length > 0 && JSON.parse(ticks.at(-1)![1]!).summary.requests > seen.requests
    }
    await expect.poll(grew, { timeout: 20_000 }).toBe(true)
    await reader.cancel()
  })

  test('the API, its document and the files to save answer there', async () => {
    for (const path of ['api/v1/openapi.json', 'api/v1/ledger.csv', 'api/v1/clients', 'metrics', 'healthz', 'setup.sh']) {
      const answer = await fetch(front.url + path)
      expect(answer.status, path).toBe(200)
      expect(answer.redirected, path).toBe(false)
      await answer.arrayBuffer()
    }
    const put = (as: string) =>
      fetch(front.url + 'api/v1/price', {
        method: 'PUT',
        headers: { Authorization: 'Bearer ' + as },
        body: JSON.stringify({ per_gb: 0.05, currency: 'EUR' }),
      })
    expect((await put('wrong')).status).toBe(401)
    expect((await put(token)).status).toBe(204)
  })

  test('apt is not pointed at the server that is before the box', async () => {
    const setup = (await (await fetch(front.url + 'api/v1/setup')).json()) as Setup
    expect(setup.local).toBe(true)
    for (const a of setup.addresses) expect(a.address).not.toContain(new URL(front.url).host)
  })

  test('without the slash at its end the address leads to the page', async () => {
    const answer = await fetch(front.url.slice(0, -1))
    expect(answer.url).toBe(front.url)
    expect(answer.status).toBe(200)
  })
})
