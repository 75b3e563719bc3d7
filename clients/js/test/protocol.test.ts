import { describe, expect, test } from 'vitest'
import closeCodes from '../../../spec/close_codes.json' with { type: 'json' }
import { integer, Malformed, Reader } from '../src/core/bytes.ts'
import { answeredWith, BROKEN, CLOSE_CODES, mayReturn } from '../src/core/codes.ts'
import { batchSize, seal, unseal } from '../src/core/envelope.ts'
import { decode, encode } from '../src/core/messages.ts'
import type { Message } from '../src/core/messages.ts'
import { NOTHING_SENT, tally } from '../src/core/tally.ts'
import { bytesOf, hexOf, vectors } from './vectors.ts'
import type { Vector } from './vectors.ts'

describe('[CI2] integers and texts are those of the shared vectors', () => {
  const all = vectors('lib0')
  test.each(all.filter(({ integer: value }) => value !== undefined))('$id', ({ hex, integer: value, canonical }) => {
    expect(new Reader(bytesOf(hex)).integer()).toBe(value)
    if (canonical !== false) expect(hexOf(Uint8Array.from(integer(value as number)))).toBe(hex)
  })
  test.each(all.filter(({ string }) => string !== undefined))('$id', ({ hex, string }) => {
    expect(new Reader(bytesOf(hex)).text()).toBe(string)
  })
  test.each(all.filter(({ error }) => error !== undefined))('$id is refused', ({ hex, type }) => {
    const reader = new Reader(bytesOf(hex))
    expect(() => (type === 'integer' ? reader.integer() : reader.text())).toThrow(Malformed)
  })
})

describe('[CI2] messages are those of the shared vectors', () => {
  const all = vectors('yjs')
  // What is in an awareness message is read by y-protocols, and a test of the provider has what it refuses.
  const readable = all.filter(({ error, id }) => error === undefined && !id.startsWith('awareness'))
  const refused = all.filter(({ error, hex }) => error === 'malformed' && !hex.startsWith('01'))
  const TYPES: Readonly<Record<string, Message['type']>> = {
    sync_step_1: 'step1',
    sync_step_2: 'step2',
    update: 'update',
    query_awareness: 'query',
    acknowledged: 'acknowledged',
    permission_denied: 'denied',
  }

  test.each(readable.filter(({ message }) => (message as { type: string }).type in TYPES))('$id', (vector) => {
    const message = decode(bytesOf(vector.hex))
    expect(message).toMatchObject(expected(vector, TYPES))
    if (vector.canonical !== false && message && message.type !== 'denied') expect(hexOf(encode(message))).toBe(vector.hex)
  })
  test.each(refused)('$id is refused', ({ hex }) => {
    expect(() => decode(bytesOf(hex))).toThrow(Malformed)
  })
  test.each(all.filter(({ error }) => error === 'unknown'))('$id is for newer clients', ({ hex }) => {
    expect(decode(bytesOf(hex))).toBeNull()
  })
  test('enough of them are read', () => {
    expect(readable.length + refused.length).toBeGreaterThan(40)
  })
})

function expected({ message }: Vector, types: Readonly<Record<string, string>>): object {
  const said = message as { type: string; update?: string; state_vector?: string; count?: number; offset?: number; reason?: string }
  const body = said.update ?? said.state_vector
  return {
    type: types[said.type],
    ...(body === undefined ? {} : { body: bytesOf(body) }),
    ...(said.count === undefined ? {} : { count: said.count, offset: said.offset }),
    ...(said.reason === undefined ? {} : { reason: said.reason }),
  }
}

describe('[CI2] bodies of several messages are those of the shared vectors', () => {
  test.each(vectors('envelope'))('$id', ({ hex, messages, error, canonical }) => {
    if (error !== undefined) {
      expect(() => unseal(bytesOf(hex))).toThrow(Malformed)
      return
    }
    const found = unseal(bytesOf(hex))
    expect(found.map((message) => hexOf(message))).toEqual(messages)
    if (canonical !== false) expect(hexOf(seal(found))).toBe(hex)
  })

  test('a request takes so many bytes and messages, and one message at least', () => {
    expect(batchSize([new Uint8Array(1_000_000), new Uint8Array(1)])).toBe(1)
    expect(batchSize([new Uint8Array(200_000), new Uint8Array(50_000), new Uint8Array(50_000)])).toBe(2)
    expect(batchSize(Array.from({ length: 5000 }, () => new Uint8Array(1)))).toBe(1000)
  })
})

describe('[CI15] the code table', () => {
  // Said at /hocuspocus only, where this client never is.
  const OF_HOCUSPOCUS = new Set(['reset_connection', 'connection_timeout'])

  test('is the one of the server', () => {
    const ours = closeCodes.filter(({ name }) => !OF_HOCUSPOCUS.has(name))
    expect(CLOSE_CODES).toEqual(Object.fromEntries(ours.map(({ name, number }) => [name, number])))
    for (const { number, reconnect } of closeCodes) expect(mayReturn(number)).toBe(reconnect)
  })

  test.each([
    [401, { code: 'unauthorized' }, 4401],
    [403, { code: 'grant_too_low' }, 4403],
    [403, { code: 'origin_refused' }, 4403],
    [410, { code: 'document_deleted' }, 4410],
    [413, { code: 'too_large' }, 4413],
    [422, { code: 'bad_document_id' }, 4404],
    [422, { code: 'something_new' }, 4400],
    [429, { code: 'too_fast' }, 4529],
    [503, { code: 'draining' }, 1012],
    [503, { code: 'unavailable' }, 4503],
    [500, { code: 'internal_server_error' }, 4503],
    // A proxy says nothing that is final.
    [403, null, BROKEN],
    [502, '<html>', BROKEN],
  ])('an answer %i %o is as good as close code %i', (status, problem, code) => {
    expect(answeredWith(status, problem, 0, new URL('http://server/')).code).toBe(code)
  })
})

describe('[CI4] from requests to links', () => {
  const [step2, update] = [
    { type: 'step2', body: Uint8Array.of(0, 0) },
    { type: 'update', body: Uint8Array.of(0, 0) },
  ] as const

  test('durable uploads of a link are the longest run from its first one on', () => {
    const first = tally(NOTHING_SENT, [step2, update], 2)
    expect(first.durable).toBe(2)
    const second = tally(first, [update, update], 1)
    expect(second.durable).toBe(3)
    expect(tally(second, [update], 1).durable).toBe(3)
    expect(tally(tally(second, [update], 1), [step2], 1)).toEqual({ sent: 6, durable: 6 })
  })
})
