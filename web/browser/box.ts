// The built box as a process, for tests and screenshots: MILLPOND_BINARY, or
// what `make build` leaves.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Mirror } from './mirror.ts'

const binary = process.env.MILLPOND_BINARY ?? new URL('../../bin/millpond', import.meta.url).pathname

export const token = 'a-long-random-word'

export interface Box {
  url: string
  port: number
  data: string
  pid(): number
  run(): Promise<void>
  stop(): Promise<void>
  /** fetch takes a file of the archive through the box, from a loopback address. */
  fetch(path: string, from?: string): Promise<number>
  /** update and install do what apt would. */
  update(from?: string): Promise<void>
  remove(): Promise<void>
}

export function freePort(): Promise<number> {
  return new Promise((done) => {
    const s = createServer()
    s.listen(0, '127.0.0.1', () => {
      const { port } = s.address() as AddressInfo
      s.close(() => done(port))
    })
  })
}

export async function startBox(mirror: Mirror, settings: Record<string, string> = {}, data = mkdtempSync(join(tmpdir(), 'millpond-'))): Promise<Box> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  let child: ChildProcess | undefined
  let log = ''
  const box: Box = {
    url,
    port,
    data,
    pid: () => child!.pid!,
    async run() {
      log = ''
      child = spawn(binary, [], {
        env: {
          PATH: process.env.PATH,
          MILLPOND_LISTEN: `127.0.0.1:${port}`,
          MILLPOND_DATA_DIR: data,
          MILLPOND_CACHE_SIZE: '5GB',
          MILLPOND_SWARM_LISTEN: '/ip4/127.0.0.1/tcp/0',
          MILLPOND_SWARM_LOCAL: 'false',
          MILLPOND_ALLOW_UPSTREAMS: mirror.host,
          MILLPOND_SHARE_HOSTS: mirror.host,
          MILLPOND_TRUST_HOSTS: mirror.host,
          ...settings,
        },
      })
      child.stderr!.on('data', (b) => (log += b))
      for (let i = 0; i < 600; i++) {
        const answer = await fetch(url + '/readyz').catch(() => undefined)
        if (answer?.ok) return
        await new Promise((done) => setTimeout(done, 100))
        if (child.exitCode !== null) break
      }
      throw new Error('the box does not start:\n' + log)
    },
    stop: () =>
      new Promise((done) => {
        if (!child || child.exitCode !== null) return done()
        child.once('exit', () => done())
        child.kill('SIGTERM')
      }),
    fetch: (path, from = '127.0.0.1') =>
      new Promise((done, failed) => {
        const req = request({ host: '127.0.0.1', port, path: `/${mirror.host}/debian/${path}`, localAddress: from, agent: false }, (res) => {
          let n = 0
          res.on('data', (b: Buffer) => (n += b.length))
          res.on('end', () => done(n))
          res.on('error', failed)
        })
        req.on('error', failed)
        req.end()
      }),
    async update(from) {
      await box.fetch('dists/stable/InRelease', from)
      await box.fetch('dists/stable/Release', from)
      await box.fetch('dists/stable/main/binary-amd64/Packages', from)
    },
    async remove() {
      await box.stop()
      rmSync(data, { recursive: true, force: true })
    },
  }
  await box.run()
  return box
}
