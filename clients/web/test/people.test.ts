import { describe, expect, test } from 'vitest'
import { contrast, inkOn } from '../src/colour.ts'
import { COLOURS, distinct, initials, inventIdentity, recallIdentity, rememberIdentity, tidyName } from '../src/identity.ts'
import { announced, othersIn } from '../src/people.ts'

const ANA = { name: 'Ana Lima', colour: COLOURS[0] }

function storage(): Pick<Storage, 'getItem' | 'setItem'> {
  const items = new Map<string, string>()
  return { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) }
}

function refuse(): never {
  throw new DOMException('no', 'SecurityError')
}

describe('[PG5] the others', () => {
  test('are those who look at the document, without oneself, by name', () => {
    const states = new Map([
      [1, announced({ name: 'Me', colour: COLOURS[1] }, true)],
      [2, announced({ name: 'Zoë', colour: COLOURS[2] }, true)],
      [3, announced(ANA, true)],
      [4, announced({ name: 'Away', colour: COLOURS[3] }, false)],
    ])
    expect(othersIn(states, 1, 'rich').map(({ client, name }) => [client, name])).toEqual([
      [3, 'Ana Lima'],
      [2, 'Zoë'],
    ])
  })

  test('other Yjs clients announce what they like', () => {
    const states = new Map<number, unknown>([
      [2, { user: { name: 7, color: 'url(https://x)' } }],
      [3, { user: { name: ' '.repeat(9) } }],
      [4, { user: 'text' }],
      [5, { cursor: {} }],
      [6, 'text'],
      [7, { user: { name: 'x'.repeat(5000), color: '#ABCDEF' } }],
    ])
    const people = othersIn(states, 1, 'markdown')
    expect(people.map(({ client }) => client)).toEqual([2, 3, 4, 7])
    expect(people.map(({ name }) => name)).toEqual(['Somebody', 'Somebody', 'Somebody', 'x'.repeat(40)])
    for (const { colour } of people) expect(colour).toMatch(/^#[\da-f]{6}$/iu)
  })

  test.each([
    ['Ana Lima', 'AL'],
    ['ana', 'A'],
    ['  Jean  Luc Picard ', 'JL'],
    ['👋 you', '👋Y'],
    ['李 小龍', '李小'],
    ['', '?'],
  ])('initials of "%s" are %s', (name, letters) => {
    expect(initials(name)).toBe(letters)
  })
})

describe('[PG6] name and colour', () => {
  test('are remembered', () => {
    const kept = storage()
    rememberIdentity(kept, ANA)
    expect(recallIdentity(kept)).toEqual(ANA)
  })

  test.each(['', 'null', '{', '7', '{"name":"A"}', '{"name":"","colour":"#c2410c"}', '{"name":"A","colour":"red"}'])(
    'what is no identity is not recalled: %s',
    (stored) => {
      expect(recallIdentity({ getItem: () => stored })).toBeNull()
    },
  )

  test('a browser that refuses storage is no reason to fail', () => {
    rememberIdentity({ setItem: refuse }, ANA)
    expect(recallIdentity({ getItem: refuse })).toBeNull()
  })

  test('a name is tidied, and none is null', () => {
    expect(tidyName('  Ana \n Lima ')).toBe('Ana Lima')
    expect(tidyName('x'.repeat(99))).toHaveLength(32)
    expect(tidyName(' \t')).toBeNull()
  })

  test('an invented identity can be remembered', () => {
    const kept = storage()
    for (const at of [0, 0.5, 0.999_999]) {
      const invented = inventIdentity(() => at)
      rememberIdentity(kept, invented)
      expect(recallIdentity(kept)).toEqual(invented)
    }
  })

  test('a newcomer takes a free colour, as long as there is one', () => {
    expect(distinct(ANA, new Set([COLOURS[1]]))).toBe(ANA)
    expect(distinct(ANA, new Set([COLOURS[0], COLOURS[1]])).colour).toBe(COLOURS[2])
    expect(distinct(ANA, new Set(COLOURS))).toBe(ANA)
  })
})

describe('[PG13] every colour', () => {
  test.each(COLOURS)('%s carries white text and shows on both sheets', (colour) => {
    expect(inkOn(colour)).toBe('#ffffff')
    expect(contrast(colour, '#ffffff')).toBeGreaterThanOrEqual(4.5)
    expect(contrast(colour, '#fffefb')).toBeGreaterThanOrEqual(3)
    expect(contrast(colour, '#1b1d22')).toBeGreaterThanOrEqual(3)
  })

  test('the ink is black on light colours', () => {
    expect(inkOn('#ffd60a')).toBe('#000000')
  })

  test('contrast is that of the standard', () => {
    expect(contrast('#000000', '#ffffff')).toBeCloseTo(21, 5)
    expect(contrast('#777777', '#ffffff')).toBeCloseTo(4.478, 3)
  })
})
