import { describe, expect, test } from 'vitest'
import { asFailure, failureOf } from '../../src/transport/failure.ts'

describe('[PG27] what a failed request means', () => {
  test.each([
    [401, 'unauthorized', false, 4401],
    [403, 'forbidden', true, 4403],
    [403, 'grant_too_low', true, 4403],
    [410, 'document_deleted', true, 4410],
    [413, 'message_too_large', true, 4413],
    [413, 'too_large', true, 4413],
    [422, 'hostile_update', true, 4422],
    [409, 'edit_not_kept', true, 4424],
  ])('the server says that it is over: %i %s', (status, code, renewable, close) => {
    expect(failureOf(status, { code, detail: 'why' }, null, renewable)).toMatchObject({ code: close, message: 'why', rest: 0 })
  })

  test.each([
    ['an access token has ended', 401, { code: 'unauthorized' }, 4508],
    ['the server is restarting', 503, { code: 'draining' }, 1012],
    ['the database is away', 503, { code: 'unavailable' }, 4503],
    ['too many messages', 429, { code: 'too_fast' }, 4529],
    ['an error that nobody knows', 500, { code: 'strange' }, 4503],
    ['somebody on the way refuses', 403, null, 1006],
    ['somebody on the way answers with other JSON', 401, { code: 401 }, 1006],
  ])('it may be tried again: %s', (_what, status, problem, close) => {
    expect(failureOf(status, problem, null, true).code).toBe(close)
  })

  test('how long to leave the server alone', () => {
    expect(failureOf(503, { code: 'overloaded' }, '10', true).rest).toBe(10_000)
    expect(failureOf(503, { code: 'overloaded' }, '86400', true).rest).toBe(60_000)
    expect(failureOf(503, null, 'Wed, 21 Oct 2026 07:28:00 GMT', true).rest).toBe(0)
  })

  test('no answer at all', () => {
    expect(asFailure(new TypeError('Failed to fetch'))).toMatchObject({ code: 1006, message: 'Failed to fetch', rest: 0 })
    expect(asFailure('odd').code).toBe(1006)
    const known = failureOf(410, { code: 'document_deleted' }, null, true)
    expect(asFailure(known)).toBe(known)
  })
})
