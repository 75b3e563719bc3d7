/** Who is here, read from awareness. What others announce is untrusted: it is checked here, once. Pure. */
import type { EditorKind } from './address.ts'
import type { Identity } from './identity.ts'

export interface Person {
  /** Yjs client id of their window in that document. */
  readonly client: number
  readonly name: string
  /** `#rrggbb` */
  readonly colour: string
  readonly editor: EditorKind
}

/** The awareness state that a window of this page announces. `user` has the form that the editors' caret plugins read. */
export interface Announced {
  readonly user: { readonly name: string; readonly color: string; readonly colorLight: string }
  /** Whether this document's tab is the one that is looked at. */
  readonly here: boolean
}

const NAMELESS = 'Somebody'
const COLOURLESS = '#6b7280'
const LONGEST_SHOWN_NAME = 40

export function announced(identity: Identity, here: boolean): Announced {
  return { user: { name: identity.name, color: identity.colour, colorLight: `${identity.colour}33` }, here }
}

/** The others who look at this document now, by name. */
export function othersIn(states: ReadonlyMap<number, unknown>, self: number, editor: EditorKind): Person[] {
  const people: Person[] = []
  for (const [client, state] of states) {
    const user = field(state, 'user')
    if (client === self || user === undefined || field(state, 'here') === false) continue
    people.push({ client, editor, name: nameIn(user), colour: colourIn(user) })
  }
  return people.toSorted((one, other) => one.name.localeCompare(other.name) || one.client - other.client)
}

/** The states as an editor's caret plugin may have them: with a name, a colour, and a caret only where it can be one. */
export function checkedStates(states: ReadonlyMap<number, unknown>): Map<number, CaretState> {
  return new Map(Array.from(states, ([client, state]) => [client, checkedState(state)]))
}

/**
 * The same for y-codemirror.next, which takes two carets of one colour for the same and leaves the older flag where it is: with a
 * comment of CSS in each colour that tells them apart.
 */
export function distinctStates(states: ReadonlyMap<number, CaretState>): Map<number, CaretState> {
  return new Map(
    Array.from(states, ([client, { user, cursor }]) => {
      const mark = Array.from(user.name, (letter) => letter.codePointAt(0)?.toString(36)).join('-')
      return [client, { user: { ...user, color: `${user.color}/*${client} ${mark}*/` }, cursor }]
    }),
  )
}

export interface CaretState {
  readonly user: Announced['user']
  readonly cursor: { readonly anchor: unknown; readonly head: unknown } | null
}

function checkedState(state: unknown): CaretState {
  const user = field(state, 'user')
  const { user: checked } = announced({ name: nameIn(user), colour: colourIn(user) }, true)
  const [anchor, head] = [field(field(state, 'cursor'), 'anchor'), field(field(state, 'cursor'), 'head')]
  return { user: checked, cursor: isPosition(anchor) && isPosition(head) ? { anchor, head } : null }
}

/** A relative position of Yjs in JSON: in an item, in a type, or in a named root. Yjs throws for what is none of them. */
function isPosition(value: unknown): boolean {
  const [type, root, item] = [field(value, 'type') ?? null, field(value, 'tname') ?? null, field(value, 'item') ?? null]
  if ([type, item].some((id) => id !== null && !isId(id))) return false
  return type !== null || item !== null || typeof root === 'string'
}

function isId(value: unknown): boolean {
  return [field(value, 'client'), field(value, 'clock')].every((part) => Number.isSafeInteger(part) && Number(part) >= 0)
}

function nameIn(user: unknown): string {
  const name = field(user, 'name')
  return typeof name === 'string' && name.trim() ? Array.from(name.trim()).slice(0, LONGEST_SHOWN_NAME).join('') : NAMELESS
}

function colourIn(user: unknown): string {
  const colour = field(user, 'color')
  return typeof colour === 'string' && /^#[\da-f]{6}$/iu.test(colour) ? colour : COLOURLESS
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}
