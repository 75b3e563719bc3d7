/** Who is here: the row of avatars in the header, and the names in the panel behind one's own. */
import { inkOn } from '../colour.ts'
import type { EditorKind } from '../address.ts'
import type { Identity } from '../identity.ts'
import { initials } from '../identity.ts'
import type { Person } from '../people.ts'
import { byId, create } from './dom.ts'

const EDITOR_NAMES: Record<EditorKind, string> = { markdown: 'Markdown', rich: 'Rich text' }
/** More than these would not fit beside the other parts of the header; in a narrow window fewer do. */
const AVATARS_SHOWN = { wide: 4, narrow: 2 }

/** Returns a function that shows who is here. Awareness changes with every key that anybody presses, the list does not. */
export function peopleList(): (others: readonly Person[], shown: EditorKind) => void {
  const narrow = window.matchMedia('(width <= 640px)')
  let known = ''
  let now: readonly [readonly Person[], EditorKind] = [[], 'markdown']

  function show(): void {
    showPeople(...now, narrow.matches ? AVATARS_SHOWN.narrow : AVATARS_SHOWN.wide)
  }

  narrow.addEventListener('change', show)
  return (...next) => {
    now = next
    const key = JSON.stringify(next)
    if (key !== known) show()
    known = key
  }
}

function showPeople(others: readonly Person[], shown: EditorKind, avatars: number): void {
  const row = byId('people', HTMLUListElement)
  const rest = others.length - avatars
  row.replaceChildren(...others.slice(0, avatars).map((person) => avatarItem(person, shown)))
  if (rest > 0) row.append(create('li', 'more', `+${rest}`))

  const list = byId('others', HTMLUListElement)
  list.replaceChildren(...others.map((person) => nameItem(person, shown)))
  byId('alone', HTMLParagraphElement).hidden = others.length > 0
  document.documentElement.style.setProperty('--theirs', others[0]?.colour ?? 'initial')
}

/** Dresses an avatar (one's own button, or a new one) in a name and a colour. */
export function paintAvatar(element: HTMLElement, person: Pick<Person, 'name' | 'colour'> | Identity): void {
  element.textContent = initials(person.name)
  element.style.setProperty('--colour', person.colour)
  element.style.setProperty('--ink', inkOn(person.colour))
}

function avatarItem(person: Person, shown: EditorKind): HTMLLIElement {
  const avatar = create('span', 'avatar')
  avatar.ariaHidden = 'true'
  paintAvatar(avatar, person)
  const item = create('li', '', avatar, create('span', 'aside', where(person, shown)))
  item.title = where(person, shown)
  item.classList.toggle('elsewhere', person.editor !== shown)
  return item
}

function nameItem(person: Person, shown: EditorKind): HTMLLIElement {
  const avatar = create('span', 'avatar')
  avatar.ariaHidden = 'true'
  paintAvatar(avatar, person)
  return create('li', '', avatar, create('span', 'name', where(person, shown)))
}

function where(person: Person, shown: EditorKind): string {
  return person.editor === shown ? person.name : `${person.name}, in ${EDITOR_NAMES[person.editor]}`
}
