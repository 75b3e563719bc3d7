/** The two lists of the panel: versions, and who did what when. */
import { create } from '../view/dom.ts'
import type { Authors } from './authors.ts'
import type { Version } from './service.ts'
import type { Story } from './story.ts'
import { counts, countsAloud, nameOf, span, versionName, when } from './words.ts'

/** So many groups are shown at first, and more for each time that they are asked for. */
const GROUPS_SHOWN = 60

export interface VersionDeeds {
  readonly go: (offset: number) => void
  /** Rejected with what is to be said. */
  readonly rename: (version: Version, name: string) => Promise<void>
  readonly remove: (version: Version) => void
}

export interface List {
  readonly element: HTMLElement
  /** `at`: the moment that is looked at. */
  show(story: Story, at: number): void
}

export function versionList(deeds: VersionDeeds): List {
  const list = create('ul', 'versions')
  const none = create('p', 'muted', 'None yet. Some are made by themselves, in pauses of writing.')
  let editing = false

  function rows(story: Story): HTMLElement[] {
    return story.versions.filter(({ offset }) => offset >= story.first).map((version) => row(version))
  }

  function row(version: Version): HTMLElement {
    const name = versionName(version)
    const time = when(version.created_at, Date.now())
    const open = create('button', 'go', create('span', 'name', name), create('small', 'muted', `${time}, ${nameOf(version.author)}`))
    open.dataset['offset'] = String(version.offset)
    open.addEventListener('click', () => deeds.go(version.offset))
    const remove = sign('✕', `Delete “${name}”, ${time}`, () => deeds.remove(version))
    const verb = version.name === null ? 'Name' : 'Rename'
    const rename = sign('✎', `${verb} “${name}”, ${time}`, () => edit(item, version, rename))
    const item = create('li', version.kind, open, rename, remove)
    item.dataset['id'] = version.id
    return item
  }

  /** A field in place of the row, until there is a name or Escape. */
  function edit(item: HTMLElement, version: Version, opener: HTMLElement): void {
    const field = nameField(`Name of the version of ${when(version.created_at, Date.now())}`)
    field.value = version.name ?? ''
    const form = create('form', 'naming', field, create('button', '', 'Save'))
    const before = Array.from(item.children)
    const end = (): void => {
      editing = false
      item.replaceChildren(...before)
      opener.focus()
    }
    editing = true
    item.replaceChildren(form)
    field.focus()
    field.select()
    form.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return
      event.stopPropagation() // else the whole panel would close
      end()
    })
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      const name = field.value.trim()
      if (!name || name === version.name) return end()
      deeds.rename(version, name).then(end, () => field.focus())
    })
  }

  return {
    element: create('section', '', none, list),
    show(story, at) {
      if (!editing) reuse(list, rows(story))
      none.hidden = list.childElementCount > 0
      markCurrent(list, at)
    },
  }
}

/** Asks for a name. */
export function nameField(label: string): HTMLInputElement {
  const field = create('input', '')
  field.ariaLabel = label
  field.maxLength = 100
  field.required = true
  field.autocomplete = 'off'
  field.spellcheck = false
  return field
}

export function activityList(authors: Authors, go: (offset: number) => void): List {
  const list = create('ul', 'activity')
  const more = create('button', 'plain', 'Show earlier')
  let shown = GROUPS_SHOWN
  let last: [Story, number] | null = null

  function rows(story: Story): HTMLElement[] {
    return story.groups.slice(0, shown).map((group) => {
      const deed = group.cause ? `${group.cause.kind === 'restore' ? 'Restored' : 'Took back'}, ` : ''
      const amount = create('span', 'amount', counts(group))
      amount.ariaHidden = 'true'
      const open = create(
        'button',
        'go',
        create('span', 'swatch-dot'),
        create('span', 'name', nameOf(group.author)),
        amount,
        create('small', 'muted', `${deed}${span(group, Date.now())}`, create('span', 'aside', `, ${countsAloud(group)}`)),
      )
      open.style.setProperty('--author', authors.colour(group.author))
      open.dataset['offset'] = String(group.last_offset)
      open.addEventListener('click', () => go(group.last_offset))
      return create('li', '', open)
    })
  }

  function show(story: Story, at: number): void {
    last = [story, at]
    reuse(list, rows(story))
    more.hidden = story.groups.length <= shown
    markCurrent(list, story.groupAt(at)?.last_offset ?? at)
  }

  more.addEventListener('click', () => {
    shown += GROUPS_SHOWN
    if (last) show(...last)
  })
  return { element: create('section', '', list, more), show }
}

/** Puts the rows into the list. Those that are as before stay, so that nobody who is at one of them loses the focus. */
function reuse(list: HTMLElement, rows: readonly HTMLElement[]): void {
  markCurrent(list, Number.NaN)
  const old = new Map(Array.from(list.children, (child) => [(child as HTMLElement).outerHTML, child]))
  const kept = rows.map((row) => old.get(row.outerHTML) ?? row)
  const focused = document.activeElement
  if (kept.length !== list.childElementCount || kept.some((row, index) => row !== list.children[index])) {
    list.replaceChildren(...kept)
    if (focused instanceof HTMLElement && list.contains(focused)) focused.focus()
  }
}

function markCurrent(list: HTMLElement, at: number): void {
  for (const one of list.querySelectorAll<HTMLElement>('.go')) {
    if (Number(one.dataset['offset']) === at) one.ariaCurrent = 'true'
    else one.removeAttribute('aria-current')
  }
}

export function button(name: string, words: string, onPress: () => void): HTMLButtonElement {
  const made = create('button', name, words)
  made.addEventListener('click', onPress)
  return made
}

/** A button with a sign on it, and a label for those who do not see it or wonder. */
export function sign(shown: string, label: string, onPress: () => void): HTMLButtonElement {
  const made = button('small', shown, onPress)
  made.ariaLabel = label
  made.title = label
  return made
}
