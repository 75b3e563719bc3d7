import { describe, expect, test } from 'vitest'
import closeCodes from '../../../spec/close_codes.json'
import { meaningOf } from '../src/view/refusal.ts'

describe('[PG10] what a refusal means', () => {
  test('is the sentence of the table of close codes', () => {
    const others = closeCodes.filter((code) => code.number !== 4413)
    expect(others.map((code) => meaningOf(code.number))).toEqual(others.map((code) => code.meaning))
  })

  test('is said in words for people where an edit was too large', () => {
    expect(meaningOf(4413)).toMatch(/paste.*too large for the server.*smaller pieces/u)
  })

  test('is a refusal whatever the code', () => {
    expect(meaningOf(4499)).toMatch(/does not want/u)
  })
})
