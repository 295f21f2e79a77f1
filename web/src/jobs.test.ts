import { expect, test } from 'vitest'
import type { Job } from './api.ts'
import { progress, title } from './jobs.ts'

const of = (more: Partial<Job>): Job => ({
  kind: 'verify',
  began: '2026-03-01T12:00:00Z',
  files: 0,
  bytes: 0,
  total_files: 0,
  total_bytes: 0,
  rate: 0,
  left: null,
  ...more,
})

test.each([
  [{}, '0 B, 0 B/s'],
  [{ files: 1, bytes: 2e6, rate: 1e6 }, '1 file, 2.00 MB, 1.00 MB/s'],
  [{ files: 12, bytes: 2e6, total_files: 40, total_bytes: 8e6, rate: 1e6, left: 6 }, '12 of 40 files, 2.00 MB of 8.00 MB, 1.00 MB/s, 6 s left'],
  [
    { kind: 'backup' as const, bytes: 2e6, total_files: 3, total_bytes: 8e6, rate: 1e6, left: 0 },
    '0 of 3 files, 2.00 MB of 8.00 MB, 1.00 MB/s, 0 s left',
  ],
])('%j', (more, want) => {
  expect(progress(of(more)).replaceAll('\u00a0', ' ')).toBe(want)
})

test('each kind has a name', () => {
  for (const kind of ['verify', 'import', 'export', 'fill', 'backup'] as const) expect(title(of({ kind }))).not.toBe('')
})
