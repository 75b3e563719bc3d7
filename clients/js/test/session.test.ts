import { describe, expect, test } from 'vitest'
import { encode } from '../src/core/messages.ts'
import type { Sent } from '../src/core/messages.ts'
import { OFFLINE, step } from '../src/core/session.ts'
import type { Session, SessionEffect, SessionEvent } from '../src/core/session.ts'

const BODY = Uint8Array.of(0)
const LINKED: SessionEvent = { type: 'linked', writes: true }
const EDITED: SessionEvent = { type: 'edited', update: BODY }

function says(message: Sent): SessionEvent {
  return { type: 'received', frame: encode(message) }
}

const DENIES: SessionEvent = { type: 'received', frame: Uint8Array.of(2, 0, 2, 110, 111) }

const acknowledges = (count: number): SessionEvent => says({ type: 'acknowledged', count, offset: count })

/** What the events cause, in words. */
function told(events: readonly SessionEvent[], from: Session = OFFLINE): [Session, string[]] {
  let session = from
  const words: string[] = []
  for (const event of events) {
    const [next, effects] = step(session, event)
    session = next
    words.push(...effects.map(inWords))
  }
  return [session, words]
}

function inWords(effect: SessionEffect): string {
  switch (effect.type) {
    case 'send':
      return `send ${effect.message.type}`
    case 'synced':
      return `synced ${effect.state}`
    case 'unsaved':
      return `unsaved ${effect.count}`
    case 'answer':
      return effect.writes ? 'answer' : 'answer with nothing'
    default:
      return effect.type
  }
}

const ASKED = [LINKED, says({ type: 'step1', body: BODY })]

describe('[CI3] the order of a link', () => {
  test('edits wait until the server has asked, and go with the answer', () => {
    expect(told([LINKED, EDITED, EDITED, says({ type: 'step1', body: BODY }), EDITED])[1]).toEqual([
      'ask', 'announce',
      'unsaved 1',
      'unsaved 2',
      'answer',
      'send update',
      'unsaved 3',
    ])
  })

  test('offline nothing is sent, and nothing that an abandoned link says is read', () => {
    expect(told([EDITED, { type: 'announced', body: BODY }, says({ type: 'step2', body: BODY })])[1]).toEqual(['unsaved 1'])
  })

  test('synced is said when the state has come, and taken back with the link', () => {
    expect(told([...ASKED, says({ type: 'step2', body: BODY }), { type: 'unlinked' }])[1]).toEqual([
      'ask', 'announce',
      'answer',
      'apply',
      'synced true',
      'synced false',
    ])
  })

  test('awareness, questions and refusals', () => {
    const events = [says({ type: 'awareness', body: BODY }), says({ type: 'query' }), DENIES]
    expect(told([LINKED, ...events, { type: 'announced', body: BODY }])[1]).toEqual(['ask', 'announce', 'meet', 'announce', 'denied', 'send awareness'])
  })
})

describe('[CI4] what is saved', () => {
  test('is what an acknowledged upload stands for', () => {
    const [, words] = told([EDITED, ...ASKED, EDITED, acknowledges(1), acknowledges(2)])
    expect(words).toEqual(['unsaved 1', 'ask', 'announce', 'answer', 'send update', 'unsaved 2', 'unsaved 1', 'unsaved 0'])
  })

  test('is counted anew over each link: the old count says nothing about the new answer', () => {
    const [, words] = told([...ASKED, EDITED, { type: 'unlinked' }, ...ASKED, EDITED, acknowledges(1)])
    expect(words.slice(-1)).toEqual(['unsaved 1'])
  })

  test('is no more than was sent, and never less than before', () => {
    const [session] = told([...ASKED, EDITED, acknowledges(100), acknowledges(1), EDITED])
    expect([session.uploads.saved, session.uploads.edits]).toEqual([1, 2])
  })
})

describe('[CI5] who may only read', () => {
  test('answers with nothing, sends no edit and is never told that one is saved', () => {
    const [session, words] = told([{ type: 'linked', writes: false }, says({ type: 'step1', body: BODY }), EDITED, acknowledges(1)])
    expect(words).toEqual(['ask', 'announce', 'answer with nothing', 'unsaved 1'])
    expect(session.uploads.saved).toBe(0)
  })
})

describe('[CI16] what cannot be read', () => {
  test.each([[[]], [[0]], [[0, 2, 5, 1]], [[0, 9]], [[100, 1]], [[255, 255, 255]]])('%o is told once, and nothing more is read', (bytes) => {
    const frame = Uint8Array.from(bytes)
    const [session, words] = told([...ASKED, { type: 'received', frame }, { type: 'received', frame }, EDITED])
    expect(words).toEqual(['ask', 'announce', 'answer', 'failed', 'unsaved 1'])
    expect(session.phase).toBe('offline')
  })

  test('messages of unknown types are for newer clients', () => {
    expect(told([LINKED, { type: 'received', frame: Uint8Array.of(77, 1, 2) }])[1]).toEqual(['ask', 'announce'])
  })
})
