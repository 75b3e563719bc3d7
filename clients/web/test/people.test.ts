import { describe, expect, test } from 'vitest'
import { contrast, inkOn } from '../src/colour.ts'
import { COLOURS, distinct, initials, inventIdentity, recallIdentity, rememberIdentity, tidyName } from '../src/identity.ts'
import { announced, checkedStates, distinctStates, othersIn } from '../src/people.ts'

const ANA = { name: 'Ana Lima', colour: COLOURS[0] }

function storage(): Pick<Storage, 'getItem' | 'setItem'> {
  const items = new Map<string, string>()
  return { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => void items.set(key, value) }
}

function cursorOf(anchor: unknown, head: unknown): unknown {
  return checkedStates(new Map([[2, { cursor: { anchor, head } }]])).get(2)?.cursor
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
    ['👋 you', 'Y'],
    ['(Ana) "Bo" Cem', 'AB'],
    ['👨‍👩‍👧 🇺🇳', '👨‍👩‍👧🇺🇳'],
    ['e\u0301tienne', 'E\u0301'],
    ['李 小龍', '李小'],
    ['', '?'],
  ])('initials of "%s" are %s', (name, letters) => {
    expect(initials(name)).toBe(letters)
  })
})

describe('[PG22] what editors are given', () => {
  const inItem = { type: null, tname: null, item: { client: 1, clock: 2 }, assoc: 0 }
  const inType = { type: { client: 1, clock: 2 }, tname: null, item: null, assoc: 0 }
  const inRoot = { type: null, tname: 'default', item: null, assoc: -1 }

  test.each([
    [inItem, inItem],
    [inType, inRoot],
    [{ item: { client: 1, clock: 0 } }, { tname: '' }],
  ])('a caret is passed on as it came', (anchor, head) => {
    expect(cursorOf(anchor, head)).toEqual({ anchor, head })
  })

  test.each([7, 'text', null, {}, [], { item: 7 }, { item: { client: 1 } }, { ...inItem, type: 'x' }, { type: { client: -1, clock: 0 } }])(
    'what is no caret is none: %o',
    (position) => {
      expect(cursorOf(position, inItem)).toBeNull()
      expect(cursorOf(inItem, position)).toBeNull()
    },
  )

  test('names and colours are what they say', () => {
    const states = new Map<number, unknown>([
      [2, { user: { name: { toString: 'x' }, color: 'red; position: fixed', colorLight: 'red; position: fixed' } }],
      [3, null],
      [4, announced(ANA, false)],
    ])
    const users = Array.from(checkedStates(states).values(), ({ user }) => user)
    expect(users).toEqual([
      { name: 'Somebody', color: '#6b7280', colorLight: '#6b728033' },
      { name: 'Somebody', color: '#6b7280', colorLight: '#6b728033' },
      { name: 'Ana Lima', color: ANA.colour, colorLight: `${ANA.colour}33` },
    ])
  })
})

describe('[PG22] carets of people with one colour', () => {
  test('are told apart, by client and by name', () => {
    const states = checkedStates(
      new Map<number, unknown>([
        [2, announced(ANA, true)],
        [3, announced(ANA, true)],
        [4, announced({ ...ANA, name: '*/;*{}\ud800' }, true)],
      ]),
    )
    const colours = Array.from(distinctStates(states).values(), ({ user }) => user.color)
    expect(new Set(colours).size).toBe(3)
    for (const colour of colours) expect(colour).toMatch(/^#[\da-f]{6}\/\*\d+ [^*]*\*\/$/iu)
    const renamed = checkedStates(new Map([[2, announced({ ...ANA, name: 'Ana' }, true)]]))
    expect(distinctStates(renamed).get(2)?.user.color).not.toBe(colours[0])
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
