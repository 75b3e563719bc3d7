import { expect, test } from 'vitest'
import { savedState, troubleIn } from '../src/saved.ts'

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
  expect(savedState({ connected, synced, unsynced, taken: true })).toBe(state)
})

test.each([
  [0, 'idle'],
  [1, 'kept'],
] as const)('[PG40] what the server does not take is not on its way, nor is it saved: %i edits', (unsynced, state) => {
  expect(savedState({ connected: true, synced: true, unsynced, taken: false })).toBe(state)
})

test('[PG40] what is the matter is said, the worst first', () => {
  const well = { damaged: false, denied: null, late: false }
  expect(troubleIn(well)).toBeNull()
  expect(troubleIn({ ...well, late: true })).toMatch(/cannot save just now/u)
  expect(troubleIn({ ...well, late: true, denied: 'the document is full' })).toMatch(/not take .*: the document is full\.$/u)
  expect(troubleIn({ damaged: true, denied: 'x', late: true })).toMatch(/damaged on the server: reading only/u)
})
