// Lines to copy that set up clients, or the network's DNS.
import type { Suite } from './api.ts'
import { address, bare, components } from './archive.ts'

/** Source is an archive as it stands behind the box's address in sources.list. */
export interface Source {
  host: string
  /** path is of its address, without http:// */
  path: string
  /** suite is the rest of the line: suite and components. */
  suite: string
}

/** stock stands for the site's archives before the box knows any. */
export const stock: Source[] = [
  { name: 'deb', dir: 'debian', suite: 'stable main' },
  { name: 'security', dir: 'debian-security', suite: 'stable-security main' },
].map(({ name, dir, suite }) => {
  const host = `${name}.debian.org`
  return { host, path: `${host}/${dir}`, suite }
})

/** maxSources is how many lines are shown; a reader copies the form. */
const maxSources = 8

/** sources are the archives that clients use by way of the box. */
export function sources(suites: Pick<Suite, 'url' | 'indices'>[]): Source[] {
  return suites.slice(0, maxSources).map((s) => {
    const { archive, suite } = address(s.url.replace(/\/$/, ''))
    const parts = components(s.indices)
    return {
      host: new URL(s.url).hostname,
      path: bare(archive),
      suite: suite === './' ? suite : [suite, ...(parts.length > 0 ? parts : ['main'])].join(' '),
    }
  })
}

/** fallback fetches the script with apt alone, which every client has, and runs it. */
export function fallback(script: string, args = ''): string {
  return `/usr/lib/apt/apt-helper download-file ${script} setup.sh && sudo sh setup.sh${args}`
}

/** hostsOf are the names of archives, each once; addresses have none. */
export function hostsOf(known: Source[]): string[] {
  const names = known.map((s) => s.host).filter((h) => /[a-z]/.test(h) && !h.includes(':') && h.includes('.'))
  return names.length > 0 ? [...new Set(names)] : stock.map((s) => s.host)
}

/** addressFor is the box's IP address, which DNS lines need, if the host and port has one. */
export function addressFor(at: string): { address: string; isKnown: boolean } {
  const host = at.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  const isKnown = host.includes(':') || /^[0-9.]+$/.test(host)
  return { address: isKnown ? host : 'ADDRESS', isKnown }
}

/** byName are lines for DNS servers that lead names to the box at an address. */
export function byName(at: string, hosts: string[]): { server: string; lines: string }[] {
  const record = at.includes(':') ? 'AAAA' : 'A'
  const each = (line: (host: string) => string) => hosts.map(line).join('\n')
  return [
    { server: 'dnsmasq and Pi-hole: a file in /etc/dnsmasq.d', lines: each((h) => `address=/${h}/${at}\nlocal=/${h}/`) },
    { server: 'Unbound', lines: 'server:\n' + each((h) => `  local-zone: "${h}." redirect\n  local-data: "${h}. ${record} ${at}"`) },
    { server: 'AdGuard Home: Filters, Custom filtering rules', lines: each((h) => `||${h}^$dnsrewrite=NOERROR;${record};${at}\n||_http._tcp.${h}^`) },
    {
      server: 'CoreDNS',
      lines: `hosts {\n${each((h) => `  ${at} ${h}`)}\n  fallthrough\n}\ntemplate IN SRV ${hosts.join(' ')} {\n  rcode NXDOMAIN\n}`,
    },
  ]
}

export interface Way {
  title: string
  text: string
  code: string
}

/** srv is the records for a zone. The target of an SRV record is a name, never an address (RFC 2782). */
function srv(host: string, port: string): string {
  const address = host.replace(/^\[|\]$/g, '')
  const isIPv6 = address.includes(':')
  if (!isIPv6 && !/^[0-9.]+$/.test(address)) {
    // A name without a dot is one of the zone itself.
    return `_apt_proxy._tcp IN SRV 0 0 ${port} ${host.includes('.') ? `${host.replace(/\.$/, '')}.` : host}`
  }
  return `apt-proxy IN ${isIPv6 ? 'AAAA' : 'A'} ${address}\n_apt_proxy._tcp IN SRV 0 0 ${port} apt-proxy`
}

export function ways(at: string, known: Source[]): Way[] {
  const [host, port] = [at.replace(/:\d+$/, ''), at.replace(/^.*:/, '')]
  const all = known.length > 0 ? known : stock
  const first = all[0]!
  return [
    {
      title: 'A server that never leaves this network',
      text: 'One line, without a probe: apt fails while the box is down.',
      code: `echo 'Acquire::http::Proxy "http://${at}";' | sudo tee /etc/apt/apt.conf.d/01millpond`,
    },
    {
      title: 'sources.list',
      text: 'Put the box in front of the archive’s name. This is also how https archives are cached: the box speaks TLS to the archive.',
      code: all.map((s) => `deb http://${at}/${s.path} ${s.suite}`).join('\n'),
    },
    {
      title: 'Dockerfile',
      text: 'For this step alone; nothing of it stays in the image.',
      code: `RUN echo 'Acquire::http::Proxy "http://${at}";' > /etc/apt/apt.conf.d/01millpond && \\\n    apt-get update && apt-get install -y --no-install-recommends ca-certificates && \\\n    rm /etc/apt/apt.conf.d/01millpond`,
    },
    {
      title: 'cloud-init',
      text: '',
      code: `#cloud-config\napt:\n  http_proxy: http://${at}`,
    },
    {
      title: 'Ansible',
      text: '',
      code: `- name: Fetch packages through the box\n  ansible.builtin.copy:\n    dest: /etc/apt/apt.conf.d/01millpond\n    content: |\n      Acquire::http::Proxy "http://${at}";\n    mode: "0644"`,
    },
    {
      title: 'debootstrap and mmdebstrap',
      text: '',
      code: `debootstrap ${first.suite.split(' ')[0]} /target http://${at}/${first.path}\nmmdebstrap --aptopt='Acquire::http::Proxy "http://${at}"' ${first.suite.split(' ')[0]} system.tar`,
    },
    {
      title: 'Without touching clients',
      text: 'Clients with auto-apt-proxy find the box by a DNS record in their own domain, or if it is their gateway or is called apt-proxy.',
      code: srv(host, port),
    },
  ]
}
