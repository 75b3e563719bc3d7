import { readFileSync } from 'node:fs'
import { createDecoder, readVarUint } from 'lib0/decoding'
import { describe, expect, test } from 'vitest'
import { ACKNOWLEDGED, readAcknowledgement, uploadIn } from '../src/frames.ts'

interface Vector {
  readonly id: string
  readonly hex: string
  readonly message?: { readonly type: string; readonly count?: number; readonly offset?: number }
}

/** The golden vectors that the server's tests read too. */
function vectors(): readonly Vector[] {
  const file = new URL('../../../spec/vectors/yjs.json', import.meta.url)
  const { vectors: all } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }
  return all.filter((vector) => vector.message)
}

function bytes({ hex }: Vector): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'))
}

describe('[PG7] which messages are uploads', () => {
  test.each(vectors().map((vector) => [vector.id, vector] as const))('%s', (_id, vector) => {
    const uploads: Record<string, string> = { sync_step_2: 'SyncStep2', update: 'Update' }
    expect(uploadIn(bytes(vector))).toBe(uploads[vector.message?.type ?? ''] ?? null)
  })

  test('an empty message is none', () => {
    expect(uploadIn(new Uint8Array())).toBeNull()
  })
})

describe('[PG7] acknowledgements', () => {
  const acknowledgements = vectors().filter((vector) => vector.message?.type === 'acknowledged')

  test('there are vectors', () => {
    expect(acknowledgements.length).toBeGreaterThan(1)
  })

  test.each(acknowledgements.map((vector) => [vector.id, vector] as const))('%s', (_id, vector) => {
    const decoder = createDecoder(bytes(vector))
    expect(readVarUint(decoder)).toBe(ACKNOWLEDGED)
    expect(readAcknowledgement(decoder)).toEqual({ count: vector.message?.count, offset: vector.message?.offset })
  })
})
