// The page in Debian's Chromium.
import { chromium, type Browser, type Page } from 'playwright-core'

export const views = ['', 'slice', 'clients', 'swarm', 'transfers', 'events', 'settings', 'setup']

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Containers have neither user namespaces nor a large /dev/shm.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  })
}

export interface Look {
  width?: number
  height?: number
  scheme?: 'light' | 'dark'
}

/** open opens a page that gathers what it complains of. */
export async function open(browser: Browser, { width = 1280, height = 800, scheme = 'light' }: Look = {}): Promise<Page & { complaints: string[] }> {
  const page = (await browser.newPage({ viewport: { width, height }, colorScheme: scheme })) as Page & { complaints: string[] }
  page.complaints = []
  page.on('console', (m) => m.type() === 'error' && page.complaints.push(m.text()))
  page.on('pageerror', (e) => page.complaints.push(String(e)))
  return page
}
