import { useEffect, useRef } from 'preact/hooks'
import { type Live, useLive } from './live.ts'
import { Heading } from './parts.tsx'
import { type Route, useRoute, type View, views } from './route.ts'
import { choose, type Theme, useTheme } from './theme.ts'
import { zone } from './units.ts'
import { ArchiveView } from './views/archive.tsx'
import { ClientView } from './views/client.tsx'
import { Clients } from './views/clients.tsx'
import { Events } from './views/events.tsx'
import { Mirrors } from './views/mirrors.tsx'
import { Overview } from './views/overview.tsx'
import { PackageView } from './views/package.tsx'
import { Settings } from './views/settings.tsx'
import { Setup } from './views/setup.tsx'
import { SliceView } from './views/slice.tsx'
import { SwarmView } from './views/swarm.tsx'
import { Transfers } from './views/transfers.tsx'

export function App() {
  const live = useLive()
  const route = useRoute()
  const { view, item } = route
  const main = useRef<HTMLElement>(null)
  const name = views.find((v) => v.id === view)!.name
  const before = useRef(route)
  useEffect(() => {
    // The beginning is what auto-apt-proxy looks for; people read the rest.
    document.title = `${item ? item + ' · ' : ''}${name} · millpond`
    if (before.current === route) return
    before.current = route
    scrollTo(0, 0)
    main.current?.focus({ preventScroll: true })
  }, [route, item, name])
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(e) => {
          e.preventDefault()
          main.current?.focus()
        }}
      >
        To the content
      </a>
      <Header view={view} live={live} />
      <main id="main" ref={main} tabIndex={-1} class={view === '' ? 'overview' : 'view'}>
        {live.refused ? <Refused why={live.refused} /> : <Content route={route} live={live} />}
      </main>
      <Footer live={live} />
    </>
  )
}

function Content({ route, live }: { route: Route; live: Live }) {
  switch (route.view) {
    case '':
      return <Overview live={live} />
    case 'packages':
      return route.item ? <PackageView key={route.item} name={route.item} /> : <SliceView live={live} />
    case 'archive':
      return <ArchiveView />
    case 'clients':
      return route.item ? <ClientView key={route.item} address={route.item} /> : <Clients />
    case 'mirrors':
      return <Mirrors live={live} />
    case 'swarm':
      return <SwarmView />
    case 'transfers':
      return <Transfers live={live} />
    case 'events':
      return <Events key={route.query} live={live} />
    case 'settings':
      return <Settings />
    case 'setup':
      return <Setup />
  }
}

function Refused({ why }: { why: string }) {
  return (
    <>
      <Heading title="The box shows nothing here">{why}</Heading>
      <p>
        <button type="button" onClick={() => location.reload()}>
          Ask again
        </button>
      </p>
    </>
  )
}

function Header({ view, live }: { view: View; live: Live }) {
  const transfers = live.tick?.transfers.length ?? 0
  return (
    <header class="top">
      <a class="brand" href="#/">
        <img src="./icon.svg" width="26" height="26" alt="" />
        millpond
      </a>
      <nav aria-label="Views">
        <ul>
          {views.map((v) => (
            <li key={v.id}>
              <a href={'#/' + v.id} aria-current={v.id === view ? 'page' : undefined}>
                {v.name}
                {v.id === 'transfers' && transfers > 0 && <span class="badge">{transfers}</span>}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <ThemeSwitch />
    </header>
  )
}

const themes: { id: Theme; name: string; sign: string }[] = [
  { id: 'system', name: 'as the system', sign: '◐' },
  { id: 'light', name: 'light', sign: '○' },
  { id: 'dark', name: 'dark', sign: '●' },
]

function ThemeSwitch() {
  const theme = useTheme()
  const i = themes.findIndex((t) => t.id === theme)
  const next = themes[(i + 1) % themes.length]!
  return (
    <button
      type="button"
      class="theme"
      onClick={() => choose(next.id)}
      title={`Colours: ${themes[i]!.name}. Change to ${next.name}.`}
      aria-label={`Colours: ${themes[i]!.name}. Change to ${next.name}.`}
    >
      <span aria-hidden="true">{themes[i]!.sign}</span>
    </button>
  )
}

function Footer({ live }: { live: Live }) {
  return (
    <footer>
      <span>millpond {live.tick?.summary.version}</span>
      <span>Times are in your browser’s zone: {zone()}</span>
      <span>1 GB is 10⁹ bytes, as for apt and disk makers</span>
      <span>
        <a href="api/v1/openapi.json">API</a> · <a href="api/v1/ledger.csv">Ledger as CSV</a> · <a href="metrics">Metrics</a>
      </span>
    </footer>
  )
}
