import { expect, test } from 'vitest'
import type { Prefetch } from './api.ts'
import { result } from './prefetch.ts'

const of = (more: Partial<Prefetch>) =>
  result({
    running: false,
    automatic: false,
    suite: '',
    started: '2026-03-01T12:00:00Z',
    ended: '2026-03-01T12:00:40Z',
    files: 0,
    bytes: 0,
    files_done: 0,
    bytes_done: 0,
    files_failed: 0,
    no_room: 0,
    no_budget: 0,
    error: '',
    budget: { bytes: 10e9, spent: 0, saved: 0 },
    since: '2026-03-01T12:00:00Z',
    total: { files: 0, from_peers: 0, from_mirrors: 0, used_files: 0, used_bytes: 0, wasted_files: 0, wasted_bytes: 0 },
    waves: [],
    ...more,
  }).replaceAll('\u00a0', ' ')

test.each([
  [{}, 'There was nothing to fetch: the newest of what clients had is here.'],
  [{ files: 1, files_done: 1, bytes_done: 2e6 }, 'Fetched 1 file, 2.00 MB, in 40 s.'],
  [
    { files: 3, files_done: 2, bytes_done: 2e6, files_failed: 1 },
    'Fetched 2 files, 2.00 MB, in 40 s. 1 file could not be had; the next prefetch tries again.',
  ],
  [
    { files: 3, no_room: 3 },
    'Nothing was fetched. 3 files found no room (MILLPOND_CACHE_SIZE): only what is superseded is evicted for what nobody asked for.',
  ],
  [{ files: 3, no_budget: 3 }, 'Nothing was fetched. 3 files exceeded what may be fetched ahead in a day (MILLPOND_PREFETCH).'],
  [{ error: 'the mirror does not answer' }, 'Nothing was fetched. It did not do all: the mirror does not answer.'],
])('%j', (more, want) => {
  expect(of(more)).toBe(want)
})
