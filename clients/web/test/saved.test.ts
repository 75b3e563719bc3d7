import { describe, expect, test } from 'vitest'
import { advance, savedState, START } from '../src/saved.ts'
import type { Progress, ProgressEvent } from '../src/saved.ts'

const opened = { type: 'opened' } as const
const closed = { type: 'closed' } as const
const synced = { type: 'synced' } as const
const edited = { type: 'edited' } as const
const answer = { type: 'sent', upload: 'SyncStep2' } as const
const update = { type: 'sent', upload: 'Update' } as const
const ack = (count: number, offset = count): ProgressEvent => ({ type: 'acknowledged', count, offset })

function after(...events: ProgressEvent[]): Progress {
  return events.reduce(advance, START)
}

function stateAfter(...events: ProgressEvent[]): string {
  return savedState(after(...events))
}

const joined = [opened, synced, answer, ack(1)]

describe('[PG7] saved', () => {
  test('a window that has joined and typed nothing is saved', () => {
    expect(stateAfter(...joined)).toBe('saved')
  })

  test.each([
    ['no socket', []],
    ['the server has not answered', [opened, answer, ack(1)]],
    ['our SyncStep2 was not sent', [opened, synced]],
    ['our SyncStep2 is not acknowledged', [opened, synced, answer]],
  ])('not yet: %s', (_why, events) => {
    expect(stateAfter(...events)).toBe('idle')
  })

  test('an edit takes it away at once, before any message is sent', () => {
    expect(stateAfter(...joined, edited)).toBe('saving')
  })

  test('an edit is saved when its own message is acknowledged, not when an earlier one is', () => {
    const typing = [...joined, edited, update, edited, update]
    expect(stateAfter(...typing, ack(2))).toBe('saving')
    expect(stateAfter(...typing, ack(2), ack(3))).toBe('saved')
  })

  test('an acknowledgement of more than was sent is not believed', () => {
    expect(stateAfter(...joined, edited, update, ack(9))).toBe('saving')
  })

  test('typed before our SyncStep2 went out: the update alone does not do', () => {
    expect(stateAfter(opened, edited, update, ack(1), synced)).toBe('saving')
    expect(stateAfter(opened, edited, update, ack(1), synced, answer, ack(2))).toBe('saved')
  })

  test('an edit that the closing socket did not take stays unsaved although all that was sent is acknowledged', () => {
    expect(stateAfter(...joined, edited)).toBe('saving')
    expect(stateAfter(...joined, edited, closed)).toBe('kept')
  })

  test('remote edits and a repeated SyncStep1 do not end it for longer than their acknowledgement takes', () => {
    expect(stateAfter(...joined, answer)).toBe('idle')
    expect(stateAfter(...joined, answer, ack(2))).toBe('saved')
  })
})

describe('[PG8] without a connection', () => {
  test('edits are kept, and counts of the old socket mean nothing on the next one', () => {
    const offline = [...joined, closed, edited]
    expect(stateAfter(...offline)).toBe('kept')
    expect(stateAfter(...offline, opened)).toBe('saving')
    expect(stateAfter(...offline, opened, synced, ack(1))).toBe('saving')
    expect(stateAfter(...offline, opened, synced, answer, ack(1))).toBe('saved')
  })

  test('an edit that was on its way when the connection broke is kept', () => {
    expect(stateAfter(...joined, edited, update, closed)).toBe('kept')
  })

  test('a break after everything was saved leaves nothing unsaved, but is not called saved', () => {
    expect(stateAfter(...joined, edited, update, ack(2), closed)).toBe('idle')
  })

  test('a failed attempt forgets nothing', () => {
    expect(stateAfter(edited, closed, closed)).toBe('kept')
  })
})

test('the offset is that of the newest acknowledgement', () => {
  expect(after(...joined, edited, update, ack(2, 77)).offset).toBe(77)
})
