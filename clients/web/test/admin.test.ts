import { expect, test } from 'vitest'
import { recall } from '../admin/src/token.ts'
import { ago, bytes, count, duration, milliseconds } from '../admin/src/words.ts'

class Kept {
  readonly #items = new Map<string, string>([['cowrite-admin-token', 'old']])
  getItem(key: string): string | null {
    return this.#items.get(key) ?? null
  }
  setItem(key: string, value: string): void {
    this.#items.set(key, value)
  }
  removeItem(key: string): void {
    this.#items.delete(key)
  }
}

test('[AD7] a token in the address is taken from there, and does not stay there', () => {
  const kept = new Kept()
  const shown: string[] = []
  const history = { replaceState: (_data: unknown, _unused: string, url: string) => void shown.push(url) }
  expect(recall({ hash: '', pathname: '/admin/', search: '' }, history, kept)).toBe('old')
  expect(recall({ hash: '#elsewhere', pathname: '/admin/', search: '' }, history, kept)).toBe('old')
  expect(shown).toEqual([])
  expect(recall({ hash: '#token=a.b', pathname: '/x/admin/', search: '?y' }, history, kept)).toBe('a.b')
  expect(shown).toEqual(['/x/admin/?y'])
  expect(recall({ hash: '', pathname: '/admin/', search: '' }, history, kept)).toBe(null)
})

test('[AD8] figures and times are shown in the unit that fits', () => {
  expect([null, 0, 999, 1000, 12_345, 2_500_000].map(bytes)).toEqual(['–', '0 B', '999 B', '1.0 KB', '12 KB', '2.5 MB'])
  expect([null, 0.4, 12.4, 1500].map(milliseconds)).toEqual(['–', '0.4 ms', '12 ms', '1.5 s'])
  expect([-5, 59_000, 61_000, 7_300_000, 200_000_000].map(duration)).toEqual(['0 s', '59 s', '1 min', '2 h', '2 d'])
  expect([ago(1000, 1500), ago(1000, 5000)]).toEqual(['just now', '4 s ago'])
  expect([count(1, 'person', 'people'), count(2, 'person', 'people')]).toEqual(['1 person', '2 people'])
})
