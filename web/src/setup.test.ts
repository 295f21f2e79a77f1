import { expect, test } from 'vitest'
import { addressFor, byName, fallback, hostsOf, sources, stock, ways } from './setup.ts'

const index = (path: string) => ({ path }) as never

test('archives that the box knows', () => {
  const known = sources([
    { url: 'http://archive.example.org/debian/dists/trixie', indices: [index('main/binary-amd64/Packages'), index('contrib/source/Sources')] },
    { url: 'https://download.example.net/linux/dists/noble/', indices: [] },
    { url: 'http://flat.example.org:8080/repo', indices: [] },
  ])
  expect(known.map((s) => `${s.path} ${s.suite}`)).toEqual([
    'archive.example.org/debian trixie main contrib',
    'https/download.example.net/linux noble main',
    'flat.example.org:8080/repo ./',
  ])
  expect(hostsOf(known)).toEqual(['archive.example.org', 'download.example.net', 'flat.example.org'])
  const lines = ways('10.0.0.1:3142', known).find((w) => w.title === 'sources.list')!.code
  expect(lines).toContain('deb http://10.0.0.1:3142/https/download.example.net/linux noble main\n')
  const text = ways('10.0.0.1:3142', known)
    .map((w) => w.code)
    .join('\n')
  expect(text).toContain('debootstrap trixie /target http://10.0.0.1:3142/archive.example.org/debian')
})

test('without archives, the distribution’s own are shown', () => {
  expect(sources([])).toEqual([])
  expect(hostsOf([])).toEqual(stock.map((s) => s.host))
  expect(hostsOf(sources([{ url: 'http://10.0.0.9/debian/dists/x', indices: [] }]))).toEqual(stock.map((s) => s.host))
})

test('SRV records have a name as their target', () => {
  const srv = (at: string) => ways(at, []).at(-1)!.code
  expect(srv('10.0.0.1:3142')).toBe('apt-proxy IN A 10.0.0.1\n_apt_proxy._tcp IN SRV 0 0 3142 apt-proxy')
  expect(srv('[fd00::1]:80')).toBe('apt-proxy IN AAAA fd00::1\n_apt_proxy._tcp IN SRV 0 0 80 apt-proxy')
  expect(srv('box.example.org:3142')).toBe('_apt_proxy._tcp IN SRV 0 0 3142 box.example.org.')
  expect(srv('box:3142')).toBe('_apt_proxy._tcp IN SRV 0 0 3142 box')
})

test('the line that needs nothing but apt', () => {
  expect(fallback('http://10.0.0.1:3142/setup.sh', ' --remove')).toBe(
    '/usr/lib/apt/apt-helper download-file http://10.0.0.1:3142/setup.sh setup.sh && sudo sh setup.sh --remove',
  )
})

test('lines for DNS servers', () => {
  expect(addressFor('[fd00::1]:3142')).toEqual({ address: 'fd00::1', isKnown: true })
  expect(addressFor('box.example.org:3142')).toEqual({ address: 'ADDRESS', isKnown: false })
  const lines = byName('10.0.0.1', ['a.example.org', 'b.example.org']).map((s) => s.lines)
  expect(lines).toEqual([
    'address=/a.example.org/10.0.0.1\nlocal=/a.example.org/\naddress=/b.example.org/10.0.0.1\nlocal=/b.example.org/',
    'server:\n  local-zone: "a.example.org." redirect\n  local-data: "a.example.org. A 10.0.0.1"\n  local-zone: "b.example.org." redirect\n  local-data: "b.example.org. A 10.0.0.1"',
    '||a.example.org^$dnsrewrite=NOERROR;A;10.0.0.1\n||_http._tcp.a.example.org^\n||b.example.org^$dnsrewrite=NOERROR;A;10.0.0.1\n||_http._tcp.b.example.org^',
    'hosts {\n  10.0.0.1 a.example.org\n  10.0.0.1 b.example.org\n  fallthrough\n}\ntemplate IN SRV a.example.org b.example.org {\n  rcode NXDOMAIN\n}',
  ])
  expect(byName('fd00::1', ['a.example.org'])[1]!.lines).toContain('AAAA fd00::1')
})
