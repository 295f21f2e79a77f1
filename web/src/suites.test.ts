import { expect, test } from 'vitest'
import type { Suite } from './api.ts'
import { merged } from './suites.ts'

const suite = (url: string, more: Partial<Suite> = {}) => ({ url, state: 'fresh', signed: true, ...more }) as Suite

test('the two forms of a suite are one row, the one that needs a look', () => {
  const rows = merged([
    suite('http://archive.example.org/dists/stable'),
    suite('http://other.example.org/dists/stable'),
    suite('https://archive.example.org/dists/stable', { state: 'stale' }),
  ])
  expect(rows.map((r) => [r.url, r.state, r.schemes])).toEqual([
    ['https://archive.example.org/dists/stable', 'stale', 'http and https'],
    ['http://other.example.org/dists/stable', 'fresh', 'http'],
  ])
})

test('of two that are fresh, the one without a signature is shown', () => {
  const forms = [suite('https://archive.example.org/a'), suite('http://archive.example.org/a', { signed: false })]
  expect(merged(forms).map((r) => r.signed)).toEqual([false])
  expect(merged(forms.reverse()).map((r) => r.signed)).toEqual([false])
})
