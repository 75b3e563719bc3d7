import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { BATCH_BYTES, batchSize, seal, unseal } from '../../src/transport/envelope.ts'
import type { Message } from '../../src/transport/envelope.ts'

interface Vector {
  readonly id: string
  readonly hex: string
  readonly messages?: readonly string[]
  readonly canonical?: false
}

/** Some of the golden vectors that the server's tests read too. */
function named(wanted: (vector: Vector) => boolean): readonly (readonly [string, Vector])[] {
  const file = new URL('../../../../spec/vectors/envelope.json', import.meta.url)
  const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }
  return vectors.filter(wanted).map((vector) => [vector.id, vector])
}

function bytes(hex: string): Message {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

describe('[PO20] bodies of messages', () => {
  test.each(named(({ messages }) => messages !== undefined))('%s', (_id, { hex, messages = [] }) => {
    expect(unseal(bytes(hex))).toEqual(messages.map(bytes))
  })

  test.each(named(({ messages, canonical }) => messages !== undefined && canonical !== false))('%s is written so', (_id, vector) => {
    expect(seal((vector.messages ?? []).map(bytes))).toEqual(bytes(vector.hex))
  })

  test.each(named(({ messages }) => messages === undefined))('%s is refused', (_id, { hex }) => {
    expect(() => unseal(bytes(hex))).toThrow(Error)
  })

  test('each message has a buffer of its own', () => {
    const [first] = unseal(seal([bytes('01'), bytes('0203')]))
    expect(first?.buffer.byteLength).toBe(1)
  })
})

describe('[PG26] what goes into one request', () => {
  const half = new Uint8Array(BATCH_BYTES / 2)

  test.each([
    ['nothing waits', [], 0],
    ['all of it', [half, half], 2],
    ['not more than the limit', [half, half, bytes('00')], 2],
    ['a large message alone', [new Uint8Array(BATCH_BYTES + 1), half], 1],
    ['not too many', Array.from({ length: 3000 }, () => bytes('00')), 1000],
  ])('%s', (_what, waiting, count) => {
    expect(batchSize(waiting)).toBe(count)
  })
})
