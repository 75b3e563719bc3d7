import { expect, test } from 'vitest'
import { savedState } from '../src/saved.ts'

test.each([
  [true, true, 0, 'saved'],
  [true, true, 1, 'saving'],
  [true, false, 1, 'saving'],
  [true, false, 0, 'idle'],
  [false, false, 0, 'idle'],
  [false, true, 0, 'idle'],
  [false, false, 2, 'kept'],
  [false, true, 2, 'kept'],
] as const)('[PG7] connected %s, synced %s, %i edits not on disk: %s', (connected, synced, unsynced, state) => {
  expect(savedState({ connected, synced, unsynced })).toBe(state)
})
