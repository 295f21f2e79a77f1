// A small archive over HTTP, signed if wanted, with a file that comes slowly and newer
// versions when they are wanted.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const sha256 = (b: Buffer | string) => createHash('sha256').update(b).digest('hex')

export interface Mirror {
  host: string
  /** names are the packages' paths beneath the archive. */
  names: string[]
  slow: string
  /** keyring is the directory that has the archive's key; '' if nothing is signed. */
  keyring: string
  /** publish lists a newer version of the first n packages, in a Release of that date. */
  publish(n: number, date?: Date): void
  /** hold keeps the newer version of a package back until what it returns is called. */
  hold(name: string): () => void
  /** speed is the slow file's, in bytes per second. */
  speed: number
  close(): Promise<void>
}

const slowSize = 40_000_000

// What people have, the largest first; g++ for its plus signs.
const packages = [
  'linux-image-amd64',
  'firefox-esr',
  'libreoffice-core',
  'g++',
  'thunderbird',
  'vim',
  'openjdk-21-jre-headless',
  'git',
  'libc6',
  'python3',
  'openssl',
  'systemd',
  'curl',
  'perl-base',
  'bash',
  'sudo',
  'tzdata',
  'rsync',
  'less',
  'jq',
]

interface Signer {
  keyring: string
  inline(text: string): Buffer
  remove(): void
}

/** newSigner has a key of its own. */
function newSigner(): Signer {
  const home = mkdtempSync(join(tmpdir(), 'millpond-key-'))
  const gpg = (args: string[], input = '') =>
    execFileSync('gpg', ['--homedir', home, '--batch', '--quiet', '--pinentry-mode', 'loopback', '--passphrase', '', ...args], { input })
  gpg(['--quick-gen-key', 'Example Archive <archive@example.org>', 'ed25519', 'sign', 'never'])
  const keyring = join(home, 'keyring')
  mkdirSync(keyring)
  writeFileSync(join(keyring, 'archive.gpg'), gpg(['--export']))
  return {
    keyring,
    inline: (text) => gpg(['--clearsign', '--output', '-'], text),
    remove() {
      execFileSync('gpgconf', ['--homedir', home, '--kill', 'all'])
      rmSync(home, { recursive: true, force: true })
    },
  }
}

export async function startMirror({ signed = false } = {}): Promise<Mirror> {
  const signer = signed ? newSigner() : undefined
  const files = new Map<string, Buffer>()
  const path = (name: string, version: string) => `pool/main/${name[0]}/${name}/${name}_${version}_amd64.deb`
  const entry = (name: string, version: string, body: Buffer) => {
    files.set(path(name, version), body)
    return `Package: ${name}\nVersion: ${version}\nArchitecture: amd64\nFilename: ${path(name, version)}\nSize: ${body.length}\nSHA256: ${sha256(body)}\n`
  }
  let changed = ''
  const publish = (newer: number, published = new Date()) => {
    changed = new Date(Date.UTC(2026, 0, 1 + newer)).toUTCString()
    const entries = packages.map((name, i) => {
      const version = i < newer ? '1.0-2' : '1.0-1'
      return entry(name, version, Buffer.alloc(Math.round(6e6 / (i + 4)), `${name} ${version} `))
    })
    entries.push(entry('texlive-full', '1.0-1', Buffer.alloc(slowSize, 'slow')))
    const index = Buffer.from(entries.join('\n'))
    files.set('dists/stable/main/binary-amd64/Packages', index)
    const date = published.toUTCString().replace('GMT', 'UTC')
    const release =
      `Origin: Example\nSuite: stable\nCodename: stable\nDate: ${date}\nArchitectures: amd64\nComponents: main\n` +
      `SHA256:\n ${sha256(index)} ${index.length} main/binary-amd64/Packages\n`
    files.set('dists/stable/Release', Buffer.from(release))
    if (signer) files.set('dists/stable/InRelease', signer.inline(release))
  }
  publish(0)
  const names = packages.map((name) => path(name, '1.0-1'))
  const slow = path('texlive-full', '1.0-1')

  const held = new Map<string, Promise<void>>()
  const hold = (name: string) => {
    let release = () => {}
    held.set(path(name, '1.0-2'), new Promise<void>((done) => (release = done)))
    return release
  }
  const mirror = { host: '', keyring: signer?.keyring ?? '', names, slow, speed: 4e6, publish, hold } as Mirror
  const server: Server = createServer(async (req, res) => {
    const wanted = decodeURIComponent((req.url ?? '').replace(/^\/debian\//, ''))
    await held.get(wanted)
    const body = files.get(wanted)
    if (!body) {
      res.writeHead(404).end()
      return
    }
    res.setHeader('Last-Modified', wanted.endsWith('Release') ? changed : 'Thu, 01 Jan 2026 00:00:00 GMT')
    const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '')
    const from = Number(range?.[1] ?? 0)
    const to = range?.[2] ? Number(range[2]) + 1 : body.length
    if (range) res.writeHead(206, { 'Content-Range': `bytes ${from}-${to - 1}/${body.length}`, 'Content-Length': to - from })
    else res.writeHead(200, { 'Content-Length': body.length })
    if (wanted !== slow) {
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
      server.close(() => {
        signer?.remove()
        done()
      })
    })
  return mirror
}
