// A small unsigned archive over HTTP, with a file that comes slowly.
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const sha256 = (b: Buffer | string) => createHash('sha256').update(b).digest('hex')

export interface Mirror {
  host: string
  /** names are the packages' paths beneath the archive. */
  names: string[]
  slow: string
  /** speed is the slow file's, in bytes per second. */
  speed: number
  close(): Promise<void>
}

const slowSize = 40_000_000

export async function startMirror(packages = 20): Promise<Mirror> {
  const files = new Map<string, Buffer>()
  const entry = (name: string, body: Buffer) => {
    const path = `pool/main/${name[0]}/${name}/${name}_1.0-1_amd64.deb`
    files.set(path, body)
    return `Package: ${name}\nVersion: 1.0-1\nArchitecture: amd64\nFilename: ${path}\nSize: ${body.length}\nSHA256: ${sha256(body)}\n`
  }
  const entries: string[] = []
  for (let i = 0; i < packages; i++) entries.push(entry(`tool-${i}`, Buffer.alloc(200_000 + 150_000 * (i % 7), `tool ${i} `)))
  const names = [...files.keys()]
  entries.push(entry('slow', Buffer.alloc(slowSize, 'slow')))
  const slow = 'pool/main/s/slow/slow_1.0-1_amd64.deb'
  const index = Buffer.from(entries.join('\n'))
  files.set('dists/stable/main/binary-amd64/Packages', index)
  const release =
    `Origin: Example\nSuite: stable\nCodename: stable\nDate: ${new Date().toUTCString().replace('GMT', 'UTC')}\nArchitectures: amd64\nComponents: main\n` +
    `SHA256:\n ${sha256(index)} ${index.length} main/binary-amd64/Packages\n`
  files.set('dists/stable/Release', Buffer.from(release))

  const mirror = { host: '', names, slow, speed: 4e6 } as Mirror
  const server: Server = createServer((req, res) => {
    const path = decodeURIComponent((req.url ?? '').replace(/^\/debian\//, ''))
    const body = files.get(path)
    if (!body) {
      res.writeHead(404).end()
      return
    }
    res.setHeader('Last-Modified', 'Thu, 01 Jan 2026 00:00:00 GMT')
    const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '')
    const from = Number(range?.[1] ?? 0)
    const to = range?.[2] ? Number(range[2]) + 1 : body.length
    if (range) res.writeHead(206, { 'Content-Range': `bytes ${from}-${to - 1}/${body.length}`, 'Content-Length': to - from })
    else res.writeHead(200, { 'Content-Length': body.length })
    if (path !== slow) {
      res.end(body.subarray(from, to))
      return
    }
    let at = from
    const timer = setInterval(() => {
      const n = Math.min(to - at, Math.round(mirror.speed / 20))
      res.write(body.subarray(at, at + n))
      at += n
      if (at >= to) {
        clearInterval(timer)
        res.end()
      }
    }, 50)
    res.on('close', () => clearInterval(timer))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  mirror.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  mirror.close = () =>
    new Promise((done) => {
      server.closeAllConnections()
      server.close(() => done())
    })
  return mirror
}
