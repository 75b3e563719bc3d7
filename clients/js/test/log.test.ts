import { describe, expect, test } from 'vitest'
import { advance, unread } from '../src/core/log.ts'
import type { Log, LogEffect, LogEvent, Operation, ServerMessage, Submission } from '../src/core/log.ts'
import { Random } from './random.ts'

const LINKED: LogEvent = { type: 'linked', access: 'access', document: 'plan' }

function operation(offset: number): Operation {
  return { id: `id ${offset}`, type: 'insert', position: ['text', 0], content: 'x', author: 'ana', created_at: 0, vector_clock: { offset } }
}

function says(type: string, fields: Omit<ServerMessage, 'type'>): LogEvent {
  return { type: 'received', message: { type, ...fields } }
}

function operations(type: 'operations' | 'welcome', ...offsets: number[]): LogEvent {
  const last = offsets.at(-1) ?? 0
  return says(type, { operations: offsets.map(operation), head: last > 0 ? `id ${last}` : null, offset: last })
}

function submission(request: number, after: string | null = null): LogEvent {
  const made: Submission = { request, operations: [{ id: `mine ${request}`, type: 'delete', position: ['text', 0], length: 1 }], base: null, after }
  return { type: 'submitted', submission: made }
}

const acknowledged = (request: number, offset: number): LogEvent =>
  says('acknowledged', { request, operations: [operation(offset)], head: `id ${offset}`, offset })

function told(events: readonly LogEvent[], from: Log = unread()): [Log, string[]] {
  let log = from
  const words: string[] = []
  for (const event of events) {
    const [next, effects] = advance(log, event)
    log = next
    words.push(...effects.map(inWords))
  }
  return [log, words]
}

function inWords(effect: LogEffect): string {
  switch (effect.type) {
    case 'send':
      return `send ${effect.message.type} ${String(effect.message['request'] ?? effect.message['last_operation'] ?? '')}`.trimEnd()
    case 'operations':
      return `operations ${effect.operations.map(({ vector_clock: { offset } }) => offset).join(' ')}`
    case 'settled':
      return `settled ${effect.request}`
    case 'rejected':
      return `rejected ${effect.request} ${effect.refusal.code}`
    case 'synced':
      return `synced ${effect.state}`
    default:
      return effect.type
  }
}

const WELCOMED = [LINKED, says('welcome', { state: {}, head: null, offset: 0 })]

describe('[CI40] the log', () => {
  test('begins with the state, and goes on with operations', () => {
    expect(told([...WELCOMED, operations('operations', 1, 2), operations('operations', 3)])[1]).toEqual([
      'send hello',
      'reset',
      'synced true',
      'operations 1 2',
      'operations 3',
    ])
  })

  test('goes on over the next link where it ended, and tells nothing twice', () => {
    const [log] = told([...WELCOMED, operations('operations', 1, 2), { type: 'unlinked' }])
    expect(told([LINKED, operations('welcome', 2, 3), operations('operations', 3), operations('operations', 4)], log)[1]).toEqual([
      'send hello id 2',
      'operations 3',
      'synced true',
      'operations 4',
    ])
  })

  test('may go on behind an operation of an earlier client', () => {
    expect(told([LINKED], unread('id 7'))[1]).toEqual(['send hello id 7'])
  })

  test.each([
    says('operations', {}),
    says('operations', { operations: [{}], offset: 1 }),
    says('welcome', { state: {} }),
    says('reset', { state: {}, offset: '1' }),
    says('acknowledged', { request: 1, operations: null, offset: 1 }),
  ])('[CI16] what cannot be read ends the link: %o', (event) => {
    const [log, words] = told([...WELCOMED, submission(1), event, operations('operations', 1)])
    expect([log.phase, words.at(-1)]).toEqual(['offline', 'failed'])
  })
})

describe('[CI41] submissions', () => {
  test('go one after the other, and are settled after their operations were told', () => {
    expect(told([...WELCOMED, submission(1), submission(2), acknowledged(1, 1), operations('operations', 1)])[1].slice(3)).toEqual([
      'send operations 1',
      'operations 1',
      'settled 1',
      'send operations 2',
    ])
  })

  test('are sent again over the next link until they are answered', () => {
    const [log] = told([...WELCOMED, submission(1), submission(2), { type: 'unlinked' }])
    const [, words] = told([LINKED, operations('welcome'), operations('operations', 1), acknowledged(1, 1)], log)
    expect(words).toEqual(['send hello', 'synced true', 'send operations 1', 'operations 1', 'settled 1', 'send operations 2'])
  })

  test('an answer that came before the link went is not asked for again', () => {
    const [log] = told([...WELCOMED, submission(1), acknowledged(1, 1), { type: 'unlinked' }])
    expect(told([LINKED, operations('welcome', 1)], log)[1]).toEqual(['send hello', 'operations 1', 'settled 1', 'synced true'])
  })

  test('answers that nobody waits for say nothing', () => {
    expect(told([...WELCOMED, acknowledged(9, 1), says('refused', { request: 9, code: 'x' })])[1].slice(3)).toEqual([])
  })
})

describe('[CI42] what is refused', () => {
  test('is rejected, with all that builds on it and nothing else', () => {
    const refused = says('refused', { request: 1, code: 'range', detail: 'too far', retry: false, index: 0, field: 'position' })
    const queue = [submission(1), submission(2, 'mine 1'), submission(3, 'mine 2'), submission(4)]
    expect(told([...WELCOMED, ...queue, refused])[1].slice(3)).toEqual([
      'send operations 1',
      'rejected 1 range',
      'rejected 2 previous_refused',
      'rejected 3 previous_refused',
      'send operations 4',
    ])
  })

  test('for now is sent again', () => {
    const later = says('refused', { request: 1, code: 'unavailable', retry: true })
    expect(told([...WELCOMED, submission(1), later, { type: 'again' }])[1].slice(3)).toEqual(['send operations 1', 'wait', 'send operations 1'])
  })
})

test('[CI40, CI41] random links: each operation once and in order, each submission applied once', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new Random(seed)
    const committed: string[] = []
    const read: string[] = []
    const settled: number[] = []
    let [log, requests, sent] = [unread('start'), 0, 0]
    /** What is under way to the client on the link that is open, and whether the answer to a submission is lost. */
    let arriving: LogEvent[] = []
    const deliver = (event: LogEvent): void => {
      const [next, effects] = advance(log, event)
      log = next
      for (const effect of effects) serve(effect)
    }
    const serve = (effect: LogEffect): void => {
      if (effect.type === 'operations') read.push(...effect.operations.map(({ id }) => id))
      if (effect.type === 'settled') settled.push(effect.request)
      if (effect.type !== 'send') return
      const { message } = effect
      if (message.type === 'hello') arriving = [news('welcome', committed.indexOf(String(message['last_operation'])) + 1)]
      if (message.type === 'operations') commit(message['request'] as number)
    }
    const commit = (request: number): void => {
      const id = `mine ${request}`
      if (!committed.includes(id)) committed.push(id)
      const offset = committed.indexOf(id) + 1
      const answer = says('acknowledged', { request, operations: [dated(offset)], offset })
      // By polling the answer may come before the news.
      const both = [news('operations', again()), answer]
      arriving.push(...(random.chance(0.5) ? both : both.toReversed()))
    }
    /** From where the next news begins: nothing is left out, and something may come twice. */
    const again = (): number => Math.max(0, sent - random.below(3))
    const dated = (offset: number): Operation => ({ ...operation(offset), id: committed[offset - 1] ?? '' })
    const news = (type: 'operations' | 'welcome', from: number): LogEvent => {
      sent = committed.length
      const all = committed.slice(from).map((_, index) => dated(from + index + 1))
      return says(type, { operations: all, head: committed.at(-1) ?? 'start', offset: committed.length })
    }
    for (let step = 0; step < 200; step++) {
      const dice = step < 150 ? random.below(10) : 5
      const next = arriving.shift()
      if (next) arriving.unshift(next)
      if (dice < 2) deliver({ type: 'submitted', submission: { request: ++requests, operations: [], base: null, after: null } })
      else if (dice < 3) committed.push(`other ${step}`)
      else if (dice < 4) {
        arriving = []
        deliver({ type: 'unlinked' })
      } else if (log.phase === 'offline') deliver(LINKED)
      else if (arriving.length > 0) deliver(arriving.shift() as LogEvent)
      else if (step < 150 || read.length < committed.length) arriving.push(news('operations', again()))
    }
    expect(read, `seed ${seed}`).toEqual(committed.slice(0, read.length))
    expect(settled, `seed ${seed}`).toEqual(Array.from({ length: settled.length }, (_, index) => index + 1))
    expect(settled.length, `seed ${seed}`).toBeGreaterThan(requests / 3)
  }
})
