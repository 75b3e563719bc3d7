/** The document at a moment, where the editor is otherwise: what it was, or what changed, and who changed how much. */
import type { EditorKind } from '../address.ts'
import { create } from '../view/dom.ts'
import type { Authors } from './authors.ts'
import { sign } from './lists.ts'
import type { PastView, PastViewModule } from './past_view.ts'
import type { Changes } from './service.ts'
import { sharesOf } from './tree.ts'
import type { Share } from './tree.ts'
import { counts, countsAloud, deed, nameOf } from './words.ts'

const VIEWS: Record<EditorKind, () => Promise<PastViewModule>> = {
  markdown: () => import('./past_text.ts'),
  rich: () => import('./past_rich.ts'),
}

/** More authors than these are counted only. */
const NAMED = 8

export interface Past {
  readonly element: HTMLElement
  /** `title`: which moment it is, or which changes. `compared`: changes are what is looked at. */
  show(changes: Changes, title: string, how: { compared: boolean; follow: boolean }): void
  /** The editor is back in its place. */
  hide(): void
  close(): void
}

export async function past(editor: EditorKind, sheet: HTMLElement, authors: Authors): Promise<Past> {
  const { create: createView } = await VIEWS[editor]()
  const title = create('p', 'title')
  const legend = create('ul', 'legend')
  const pointed = create('span', 'pointed')
  pointed.role = 'status'
  const steps = create(
    'div',
    'steps',
    sign('‹', 'Previous change', () => point(-1)),
    sign('›', 'Next change', () => point(1)),
    pointed,
  )
  const body = create('div', `panel ${editor} past-body`)
  const head = create('div', 'past-head', title, legend, steps)
  const section = create('section', 'past', head, body)
  section.ariaLabel = 'The document at another moment'
  section.hidden = true
  sheet.querySelector('.foot')?.before(section)
  const view: PastView = createView(body, (mark) => ({ colour: authors.colour(mark.author), words: deed(mark, Date.now()) }))
  let current = -1

  body.addEventListener('click', ({ target }) => {
    const words = target instanceof Element ? target.closest<HTMLElement>('[title]')?.title : undefined
    if (words) pointed.textContent = words // where there is no mouse to point with
  })

  function point(direction: 1 | -1): void {
    const count = view.marks.length
    current = current < 0 && direction < 0 ? count - 1 : (current + direction + count) % count
    view.point(current)
    const mark = view.marks[current]
    if (mark) pointed.textContent = `${current + 1} of ${count}: ${deed(mark, Date.now())}`
  }

  return {
    element: section,
    show(changes, words, { compared, follow }) {
      sheet.dataset['past'] = ''
      section.hidden = false
      title.textContent = words
      view.show(changes.root, follow)
      current = -1
      legend.replaceChildren(...(compared ? shares(changes, authors) : []))
      legend.hidden = !compared
      steps.hidden = !compared || view.marks.length === 0
      pointed.textContent = compared ? countOf(view.marks.length) : ''
    },
    hide() {
      delete sheet.dataset['past']
      section.hidden = true
    },
    close() {
      delete sheet.dataset['past']
      view.destroy()
      section.remove()
    },
  }
}

function shares({ root }: Changes, authors: Authors): HTMLElement[] {
  const all = sharesOf(root)
  if (all.length === 0) return [create('li', 'muted', root?.changed ? 'Only where things stand was changed.' : 'Nothing was changed.')]
  const rest = all.length - NAMED
  return [
    ...all.slice(0, NAMED).map((share) => shareOf(share, authors)),
    ...(rest > 0 ? [create('li', 'muted', rest === 1 ? 'and one more' : `and ${rest} more`)] : []),
  ]
}

function shareOf(share: Share, authors: Authors): HTMLElement {
  const amount = create('span', 'amount', counts(share))
  amount.ariaHidden = 'true'
  const item = create('li', '', create('span', 'swatch-dot'), nameOf(share.author), amount)
  item.append(create('span', 'aside', countsAloud(share)))
  item.style.setProperty('--author', authors.colour(share.author))
  return item
}

function countOf(changes: number): string {
  return changes === 1 ? '1 change' : `${changes} changes`
}
