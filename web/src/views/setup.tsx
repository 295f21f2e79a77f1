import { Code, Heading } from '../parts.tsx'
import { type Reach, useReach } from '../reach.ts'

interface Way {
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
    return `_apt_proxy._tcp IN SRV 0 0 ${port} ${host.includes('.') ? `${host}.` : host}`
  }
  return `apt-proxy IN ${isIPv6 ? 'AAAA' : 'A'} ${address}\n_apt_proxy._tcp IN SRV 0 0 ${port} apt-proxy`
}

export function ways(at: string): Way[] {
  const [host, port] = [at.replace(/:\d+$/, ''), at.replace(/^.*:/, '')]
  return [
    {
      title: 'Without curl',
      text: 'wget works too, and so does apt itself.',
      code: `wget -qO- http://${at}/setup.sh | sudo sh\n/usr/lib/apt/apt-helper download-file http://${at}/setup.sh /tmp/setup.sh && sudo sh /tmp/setup.sh`,
    },
    {
      title: 'A server that never leaves this network',
      text: 'One line, without a probe: apt fails while the box is down.',
      code: `echo 'Acquire::http::Proxy "http://${at}";' | sudo tee /etc/apt/apt.conf.d/01millpond`,
    },
    {
      title: 'sources.list',
      text: 'Put the box in front of the archive’s name. This is also how https archives are cached: the box speaks TLS to the archive.',
      code: `deb http://${at}/deb.example.org/debian trixie main\ndeb http://${at}/https/download.example.com/linux/debian trixie stable`,
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
      code: `debootstrap trixie /target http://${at}/deb.example.org/debian\nmmdebstrap --aptopt='Acquire::http::Proxy "http://${at}"' trixie trixie.tar`,
    },
    {
      title: 'Without touching clients',
      text: 'Clients with auto-apt-proxy find the box by a DNS record in their own domain, or if it is their gateway or is called apt-proxy.',
      code: srv(host, port),
    },
  ]
}

const kinds: Record<string, string> = {
  request: 'as you reach it now',
  setting: 'named in MILLPOND_DASHBOARD_ACCESS',
  interface: 'address of',
  hostname: 'the machine’s own name',
}

/** AddressChoice chooses by which name or address clients reach the box. */
export function AddressChoice({ of: r }: { of: Reach }) {
  if (r.addresses.length < 2) return null
  return (
    <div class="way">
      <label class="search">
        <span>{r.local ? 'Clients cannot reach the box as you do now: choose how they do' : 'How clients reach the box'}</span>
        <select value={r.at} onChange={(e) => r.choose(e.currentTarget.value)}>
          {r.addresses.map((a) => (
            <option key={a.address} value={a.address}>
              {`${a.address}, ${kinds[a.kind]}${a.via && ' ' + a.via}`}
            </option>
          ))}
        </select>
      </label>
    </div>
  )
}

export function Setup() {
  const reach = useReach()
  const { at, script } = reach
  return (
    <>
      <Heading title="Set up a client">
        One line on each machine. apt asks a probe about each host: away from this network, with the box down, or for what the box does not take, it
        goes there directly.
      </Heading>
      <AddressChoice of={reach} />
      <section class="way" aria-label="In one line">
        <Code label="Set up" text={`curl -fsS ${script} | sudo sh`} />
        <p>
          It writes two small files and can be run again at any time. <a href="setup.sh">Read the script</a> first if you like. To undo it:
        </p>
        <Code label="Undo" text={`curl -fsS ${script} | sudo sh -s -- --remove`} />
      </section>
      <section class="section" aria-labelledby="ways">
        <h2 id="ways">Other ways</h2>
        {ways(at).map((w) => (
          <details class="fold" key={w.title}>
            <summary>{w.title}</summary>
            <div class="way">
              {w.text && <p>{w.text}</p>}
              <Code label={w.title} text={w.code} />
            </div>
          </details>
        ))}
      </section>
    </>
  )
}
