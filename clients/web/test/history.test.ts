import { describe, expect, test } from 'vitest'
import { Authors } from '../src/history/authors.ts'
import { Newest } from '../src/history/newest.ts'
import { meaningOf } from '../src/history/service.ts'
import type { Activity, Version } from '../src/history/service.ts'
import { filmLength, Story } from '../src/history/story.ts'
import { markedText, sharesOf } from '../src/history/tree.ts'
import type { DiffRoot, DiffRun } from '../src/history/tree.ts'
import { counts, countsAloud, deed, moment, nameOf, span, titleOf, when } from '../src/history/words.ts'
import { COLOURS, guestToken } from '../src/identity.ts'

const NOW = new Date(2026, 10, 28, 15, 0).getTime()
const MINUTE = 60_000

function group(author: string, first: number, last: number): Activity {
  const entries = last - first + 1
  const times = { began_at: NOW - MINUTE * 20 + first, ended_at: NOW - MINUTE * 13 + last }
  return { author, first_offset: first, last_offset: last, ...times, entries, inserted: entries, deleted: 0, cause: null }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve))
}

function version(offset: number, more: Partial<Version> = {}): Version {
  return { id: `v${offset}`, offset, kind: 'named', name: `Draft ${offset}`, author: 'guest-Ana', created_at: NOW, ...more }
}

const STORY = new Story([group('guest-Ana', 9, 12), group('guest-Bo', 5, 8), group('guest-Ana', 1, 4)], [version(12), version(6)])

describe('[PG31] the time line', () => {
  test('knows who was at work at each moment', () => {
    const who = Array.from({ length: 14 }, (_, offset) => STORY.groupAt(offset)?.author.slice(6, 7) ?? '-').join('')
    expect(who).toBe('-AAAABBBBAAAA-')
    expect([STORY.first, STORY.head]).toEqual([0, 12])
  })

  test('goes from one end of what somebody did to the next', () => {
    const path = [STORY.step(0, 1), STORY.step(4, 1), STORY.step(5, 1), STORY.step(12, 1), STORY.step(12, -1), STORY.step(6, -1)]
    expect(path).toEqual([4, 8, 8, 12, 8, 4])
    expect([STORY.step(4, -1), STORY.step(0, -1)]).toEqual([0, 0])
  })

  test('has one stripe for what one person did, however long the history is', () => {
    const shown = STORY.stripes().map(({ author, from, to }) => [author, from, to])
    expect(shown).toEqual([
      ['guest-Ana', 0, 4 / 12],
      ['guest-Bo', 4 / 12, 8 / 12],
      ['guest-Ana', 8 / 12, 1],
    ])
    const changing = Array.from({ length: 5000 }, (_, at) => group(at % 2 ? 'a' : 'b', at * 3 + 1, at * 3 + 3)).toReversed()
    expect(new Story(changing, []).stripes().length).toBeLessThanOrEqual(240)
    expect(new Story([], []).stripes()).toEqual([])
  })

  test('begins with what is kept, and so do the versions', () => {
    const kept = new Story([group('guest-Ana', 9, 12)], [version(12), version(6)])
    expect([kept.first, kept.place(8), kept.place(12)]).toEqual([8, 0, 1])
    expect(kept.before(12)).toBe(8)
  })

  test('takes in what has come since', () => {
    const newest = [group('guest-Bo', 13, 15), group('guest-Ana', 9, 12)]
    const grown = STORY.continued(newest, [])
    expect(grown.groups.map(({ last_offset: last }) => last)).toEqual([15, 12, 8, 4])
    expect(STORY.misses(newest)).toBe(false)
    expect(STORY.misses([group('guest-Bo', 14, 15)])).toBe(true)
  })
})

test('[PG34] a long history is a film of twenty seconds, a short one has time for each entry', () => {
  expect([filmLength(8), filmLength(80), filmLength(100_000)]).toEqual([2000, 20_000, 20_000])
})

describe('[PG33] of what is asked for', () => {
  type Ask = { key: string; answer: (value: string) => void; refuse: (error: Error) => void }

  function asked(room = 1000): { asks: Ask[]; shown: string[]; newest: Newest<string> } {
    const [asks, shown]: [Ask[], string[]] = [[], []]
    const newest = new Newest<string>({
      get: (key) => new Promise((answer, refuse) => asks.push({ key, answer, refuse })),
      show: (value) => shown.push(value),
      fail: (error) => shown.push(String(error)),
      size: (value) => value.length,
      room,
    })
    return { asks, shown, newest }
  }

  test('one is under way, and then the newest comes; the others are never asked for', async () => {
    const { asks, shown, newest } = asked()
    for (const key of ['1', '2', '3', '4']) newest.want(key)
    expect(asks.map(({ key }) => key)).toEqual(['1'])
    asks[0]?.answer('one')
    await settled()
    expect(asks.map(({ key }) => key)).toEqual(['1', '4'])
    asks[1]?.answer('four')
    await settled()
    expect(shown).toEqual(['one', 'four'])
  })

  test('what was had is shown at once, and what comes too late then is not', async () => {
    const { asks, shown, newest } = asked()
    newest.want('1')
    asks[0]?.answer('one')
    await settled()
    newest.want('2')
    newest.want('1')
    asks[1]?.answer('two')
    await settled()
    expect(shown).toEqual(['one', 'one'])
    newest.want('2')
    expect(shown).toEqual(['one', 'one', 'two'])
    expect(asks.length).toBe(2)
  })

  test('nothing is shown that is not wanted any more, nor after the end', async () => {
    const { asks, shown, newest } = asked()
    newest.want('1')
    newest.drop()
    asks[0]?.answer('one')
    await settled()
    newest.want('2')
    newest.close()
    asks[1]?.answer('two')
    await settled()
    expect(shown).toEqual([])
  })

  test('a failure is told, unless something newer is wanted', async () => {
    const { asks, shown, newest } = asked()
    newest.want('1')
    newest.want('2')
    asks[0]?.refuse(new Error('one'))
    await settled()
    asks[1]?.refuse(new Error('two'))
    await settled()
    expect(shown).toEqual(['Error: two'])
    newest.want('2')
    expect(asks.length).toBe(3)
  })

  test('so much is kept; what was not looked at for longest goes', async () => {
    const { asks, newest } = asked(8)
    const get = async (key: string): Promise<void> => {
      const before = asks.length
      newest.want(key)
      asks[before]?.answer('four')
      await settled()
    }
    await get('1')
    await get('2')
    await get('1')
    await get('3')
    await get('1')
    await get('2')
    expect(asks.map(({ key }) => key)).toEqual(['1', '2', '3', '2'])
  })
})

describe('[PG35] changes', () => {
  const [ANA, BO] = [{ author: 'guest-Ana', created_at: NOW }, { author: 'guest-Bo', created_at: NOW }]
  const RUNS: readonly DiffRun[] = [
    { change: 'insert', text: 'Warm ', ...ANA },
    { change: 'equal', text: 'soup\r\n' },
    { change: 'delete', text: 'cold', ...BO },
    { change: 'insert', text: '', ...BO },
  ]
  const ROOT: DiffRoot = { kind: 'text', changed: true, runs: RUNS }

  test('are ranges of a text that has both what came and what went', () => {
    const { text, ranges } = markedText(ROOT)
    expect(text).toBe('Warm soup\ncold')
    expect(ranges.map(({ from, to, mark }) => [text.slice(from, to), mark.change, mark.author])).toEqual([
      ['Warm ', 'insert', 'guest-Ana'],
      ['cold', 'delete', 'guest-Bo'],
    ])
    expect(markedText(null)).toEqual({ text: '', ranges: [] })
  })

  test('are counted for each author, in nested blocks too', () => {
    const block = { kind: 'element', tag: 'paragraph', change: 'equal', children: [{ kind: 'xmltext', runs: RUNS }] } as const
    const heading = { kind: 'element', tag: 'heading', attribute_changes: { level: { ...BO } } } as const
    const moved = { kind: 'element', tag: 'paragraph', change: 'insert', author: 'guest-Cy' } as const
    const shares = sharesOf({ kind: 'xml', changed: true, children: [block, heading, moved] })
    expect(shares).toEqual([
      { author: 'guest-Ana', inserted: 5, deleted: 0 },
      { author: 'guest-Bo', inserted: 0, deleted: 4 },
      { author: 'guest-Cy', inserted: 0, deleted: 0 },
    ])
    expect(sharesOf(null)).toEqual([])
  })

  test('are told in words', () => {
    expect(deed({ change: 'delete', author: 'guest-Ana Lima', time: NOW - MINUTE }, NOW)).toBe('Deleted by Ana Lima, 14:59')
    expect(deed({ change: 'format', author: null, time: null }, NOW)).toBe('Changed by Somebody')
    expect(counts({ inserted: 1312, deleted: 40 })).toBe('+1,312 −40')
    expect(counts({ inserted: 0, deleted: 0 })).toBe('±0')
    expect(countsAloud({ inserted: 0, deleted: 40 })).toBe('40 deleted')
  })

  test('are those since a moment, or since the version before it', () => {
    const changes = (from: number, to: number): Parameters<typeof titleOf>[0] => ({
      from: { offset: from, created_at: from ? NOW - MINUTE : null },
      to: { offset: to, created_at: NOW },
      root: null,
    })
    expect(STORY.before(9)).toBe(6)
    expect(titleOf(changes(6, 9), 'before', STORY, NOW)).toBe('Changes from “Draft 6” (14:59:00) to 15:00:00')
    expect(titleOf(changes(0, 4), 'before', STORY, NOW)).toBe('Changes from the beginning to 15:00:00')
    expect(titleOf(changes(6, 12), 'since', STORY, NOW)).toBe('Changes from 14:59:00 to now')
    expect(titleOf(changes(9, 9), 'was', STORY, NOW)).toBe('As it was, 15:00:00')
  })
})

describe('[PG39] authors', () => {
  test('have the names that they gave themselves', () => {
    const names = ['guest-Zoë Lima', 'guest-0a1b2c3d', 'root', null].map(nameOf)
    expect(names).toEqual(['Zoë Lima', 'Guest 0a1b', 'root', 'Somebody'])
  })

  test('say them to the server in a form that a header can carry, whatever is typed', () => {
    expect(guestToken('Zoë Lima')).toBe('guest-Zo%C3%AB%20Lima')
    expect(guestToken('👩‍👧\u{d800}\u{7}')).toBe(`guest-${encodeURIComponent('👩‍👧')}`)
    expect(guestToken('\u{2028}')).toBe('')
  })

  test('who are here have their own colours, the others one that nobody has', () => {
    const authors = new Authors(() => [{ name: 'Ana', colour: COLOURS[3] }])
    const rest = COLOURS.slice(1).map((_, at) => authors.colour(`guest-${at}`))
    expect(authors.colour('guest-Ana')).toBe(COLOURS[3])
    expect(new Set([COLOURS[3], ...rest]).size).toBe(COLOURS.length)
    expect(authors.colour('guest-0')).toBe(rest[0])
    expect(COLOURS).toContain(authors.colour('guest-one too many'))
  })
})

test('[PG31] times are as exact as is needed to tell them apart', () => {
  expect(when(NOW - MINUTE, NOW)).toBe('14:59')
  expect(moment(NOW - MINUTE + 7000, NOW)).toBe('14:59:07')
  expect(when(NOW - 24 * 60 * MINUTE, NOW)).toBe('27 Nov, 15:00')
  expect(when(new Date(2025, 0, 2, 3, 4).getTime(), NOW)).toBe('2 Jan 2025, 03:04')
  expect(span(group('a', 1, 2), NOW)).toBe('14:40–14:47')
  expect(span({ ...group('a', 1, 1), began_at: NOW, ended_at: NOW }, NOW)).toBe('15:00')
})

test('[PG38] what fails is said in words', () => {
  expect(meaningOf('history_forgotten', 'x')).toMatch(/deleted for good/u)
  expect(meaningOf('something_new', 'The words of the server.')).toBe('The words of the server.')
  expect(meaningOf('something_new', '')).toMatch(/did not say why/u)
})
