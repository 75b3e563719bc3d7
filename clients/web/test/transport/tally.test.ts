import { describe, expect, test } from 'vitest'
import { acknowledge, acknowledgementIn, Tally } from '../../src/transport/tally.ts'

describe('[PG24] acknowledgements of requests, as a socket would have them', () => {
  test('add up', () => {
    const tally = new Tally()
    expect(tally.answered([], 0)).toBe(0)
    expect(tally.answered(['SyncStep2'], 1)).toBe(1)
    expect(tally.answered(['Update', 'Update'], 2)).toBe(3)
  })

  test('end before the first upload that is not on disk', () => {
    const tally = new Tally()
    expect(tally.answered(['Update', 'Update'], 1)).toBe(1)
    expect(tally.answered(['Update'], 1)).toBe(1)
  })

  test('go on once a SyncStep2 has made up for it', () => {
    const tally = new Tally()
    expect(tally.answered(['Update'], 0)).toBe(0)
    expect(tally.answered(['Update', 'SyncStep2', 'Update'], 1)).toBe(0)
    expect(tally.answered(['SyncStep2', 'Update'], 2)).toBe(6)
    expect(tally.answered(['Update'], 1)).toBe(7)
  })

  test('are the same message', () => {
    expect(acknowledgementIn(acknowledge({ count: 300, offset: 7 }))).toEqual({ count: 300, offset: 7 })
    expect(acknowledgementIn(new Uint8Array([0, 1, 0]))).toBeNull()
    expect(acknowledgementIn(new Uint8Array())).toBeNull()
  })
})
