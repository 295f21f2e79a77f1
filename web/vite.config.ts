import { defineConfig } from 'vite'
import { mock } from './dev/mock.ts'

// BOX=http://localhost:3142 npm run dev shows a running box; without it the
// page has made-up figures.
const box = process.env.BOX

export default defineConfig({
  // Relative, for a box below a path of a reverse proxy.
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: box ? [] : [mock()],
  ...(box && { server: { proxy: { '/api': box, '/setup.sh': box } } }),
  build: {
    // Content-Security-Policy allows no data: addresses and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
})
