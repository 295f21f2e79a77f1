import { expect, test } from 'vitest'
import { notKept } from './privacy.ts'

test('what is not kept is one sentence, and none where all is kept', () => {
  const all = { no_client_names: false, no_packages_per_client: false, no_clients: false, days: 0 }
  expect(notKept(all)).toBe('')
  expect(notKept({ ...all, no_client_names: true })).toBe('About its clients, this box keeps no names.')
  expect(notKept({ ...all, days: 1 })).toBe('About its clients, this box keeps nothing older than a day.')
  expect(notKept({ ...all, no_packages_per_client: true, days: 90 })).toBe(
    'About its clients, this box keeps no packages and nothing older than 90 days.',
  )
  expect(notKept({ no_client_names: true, no_packages_per_client: true, no_clients: false, days: 30 })).toBe(
    'About its clients, this box keeps no names, no packages and nothing older than 30 days.',
  )
  expect(notKept({ no_client_names: true, no_packages_per_client: true, no_clients: true, days: 30 })).toContain('nothing about single clients')
})
