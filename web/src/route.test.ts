import { expect, test } from 'vitest'
import { parse } from './route.ts'

test.each([
  ['', '', ''],
  ['#/', '', ''],
  ['#/packages', 'packages', ''],
  ['#/packages?q=lib&sort=last', 'packages', ''],
  ['#/packages/g++', 'packages', 'g++'],
  ['#/packages/libstdc%2B%2B6', 'packages', 'libstdc++6'],
  ['#/packages/a%2Fb', 'packages', 'a/b'],
  ['#/packages/%', 'packages', ''],
  ['#/slice?q=lib', 'packages', ''],
  ['#/slice/g++', 'packages', 'g++'],
  ['#/nonsense/x', '', ''],
  ['#/archive', 'archive', ''],
  ['#clients', 'clients', ''],
])('%s is view %j and item %j', (hash, view, item) => {
  expect(parse(hash)).toMatchObject({ view, item })
})
