import { expect, test } from 'vitest'
import { parse } from './route.ts'

test.each([
  ['', '', ''],
  ['#/', '', ''],
  ['#/slice', 'slice', ''],
  ['#/slice?q=lib&sort=last', 'slice', ''],
  ['#/slice/g++', 'slice', 'g++'],
  ['#/slice/libstdc%2B%2B6', 'slice', 'libstdc++6'],
  ['#/slice/a%2Fb', 'slice', 'a/b'],
  ['#/slice/%', 'slice', ''],
  ['#/nonsense/x', '', ''],
  ['#/archive', 'archive', ''],
  ['#clients', 'clients', ''],
])('%s is view %j and item %j', (hash, view, item) => {
  expect(parse(hash)).toEqual({ view, item })
})
