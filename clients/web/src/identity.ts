/** Who this window is to the others: a name and a colour, remembered in this browser. */

export interface Identity {
  readonly name: string
  /** One of `COLOURS`. */
  readonly colour: string
}

export const LONGEST_OWN_NAME = 32

/**
 * Each carries white text (4.5:1) and stands out as a caret on the light and on the dark sheet (3:1): WCAG 2.2 AA.
 * A test computes it.
 */
export const COLOURS = [
  '#c2410c',
  '#a16207',
  '#4d7c0f',
  '#0f766e',
  '#0b72ae',
  '#4f5bd5',
  '#9333ea',
  '#cb2267',
] as const

const QUALITIES = ['Brave', 'Calm', 'Clever', 'Early', 'Gentle', 'Keen', 'Lucky', 'Merry', 'Quiet', 'Sunny', 'Swift', 'Wise']
const CREATURES = ['Badger', 'Curlew', 'Finch', 'Fox', 'Hare', 'Heron', 'Lynx', 'Marten', 'Otter', 'Owl', 'Robin', 'Stoat']

const KEY = 'cowrite.identity'

const GRAPHEMES = new Intl.Segmenter()

/**
 * What stands in an avatar: the initials of the first two words, in any script. Words without letters or digits count only
 * when there are no others. Signs that people see as one are not cut: a family, a flag, a letter with its accents.
 */
export function initials(name: string): string {
  const words = name.split(/\s+/u).filter(Boolean).map(signs)
  const spoken = words.map((word) => word.filter((sign) => /[\p{L}\p{N}]/u.test(sign))).filter((word) => word.length > 0)
  const firsts = (spoken.length > 0 ? spoken : words).slice(0, 2).map((word) => word[0] ?? '')
  return firsts.join('').toLocaleUpperCase() || '?'
}

function signs(word: string): string[] {
  return Array.from(GRAPHEMES.segment(word), ({ segment }) => segment)
}

/** A made-up identity; `random` gives numbers in [0, 1). */
export function inventIdentity(random: () => number): Identity {
  const name = `${pick(QUALITIES, random)} ${pick(CREATURES, random)}`
  return { name, colour: pick(COLOURS, random) }
}

/** `identity` in a colour that nobody of `taken` has, as long as there is one. */
export function distinct(identity: Identity, taken: ReadonlySet<string>): Identity {
  if (!taken.has(identity.colour)) return identity
  const free = COLOURS.find((colour) => !taken.has(colour))
  return free ? { ...identity, colour: free } : identity
}

/** The name as others will see it, or null when nothing is left of it. */
export function tidyName(typed: string): string | null {
  const name = Array.from(typed.replaceAll(/\s+/gu, ' ').trim()).slice(0, LONGEST_OWN_NAME).join('')
  return name || null
}

/** What the demo's server is told instead of a token, so that the history has names; '' for a name of which nothing is left. */
export function guestToken(name: string): string {
  const visible = name.replaceAll(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, '')
  return visible && `guest-${encodeURIComponent(visible)}`
}

/** What was remembered, or null: never stored, not readable, or storage is switched off. */
export function recallIdentity(storage: Pick<Storage, 'getItem'>): Identity | null {
  try {
    const stored: unknown = JSON.parse(storage.getItem(KEY) ?? 'null')
    return isIdentity(stored) ? stored : null
  } catch {
    return null // private windows may refuse storage, and anybody may edit it
  }
}

export function rememberIdentity(storage: Pick<Storage, 'setItem'>, identity: Identity): void {
  try {
    storage.setItem(KEY, JSON.stringify(identity))
  } catch {
    // Not remembered then; the name still holds for this window.
  }
}

function isIdentity(value: unknown): value is Identity {
  if (typeof value !== 'object' || value === null) return false
  if (!('name' in value && 'colour' in value)) return false
  const { name, colour } = value
  return typeof name === 'string' && tidyName(name) === name && COLOURS.some((known) => known === colour)
}

function pick<T>(from: readonly [T, ...T[]] | readonly T[], random: () => number): T {
  const one = from[Math.floor(random() * from.length)]
  if (one === undefined) throw new RangeError('nothing to pick from, or random() outside [0, 1)')
  return one
}
