/** Rich text at a moment, in the look of the editor. What stands in it becomes text and known elements, nothing else. */
import { create as element } from '../view/dom.ts'
import type { MarkLook, PastView } from './past_view.ts'
import { markOf, markOfNode } from './tree.ts'
import type { Attributes, DiffNode, DiffRoot, DiffRun, Mark } from './tree.ts'

type Look = (mark: Mark) => MarkLook

/** Blocks of the editor, by their tags in the document; what is not known is shown as a block of its text. */
const BLOCKS: Readonly<Record<string, keyof HTMLElementTagNameMap>> = {
  paragraph: 'p',
  bulletList: 'ul',
  orderedList: 'ol',
  listItem: 'li',
  blockquote: 'blockquote',
  codeBlock: 'pre',
  horizontalRule: 'hr',
  hardBreak: 'br',
}

/** Marks of text, the outermost first. */
const MARKS: readonly (readonly [name: string, tag: keyof HTMLElementTagNameMap])[] = [
  ['link', 'a'],
  ['bold', 'strong'],
  ['italic', 'em'],
  ['strike', 's'],
  ['underline', 'u'],
  ['code', 'code'],
]

interface Marked {
  readonly element: HTMLElement
  readonly mark: Mark
}

export function create(parent: HTMLElement, look: Look): PastView {
  const page = element('div', 'ProseMirror past-page')
  page.tabIndex = 0
  page.role = 'document'
  page.ariaLabel = 'Rich text at that moment'
  const scroller = element('div', 'page', page)
  parent.append(scroller)
  let marked: Marked[] = []

  return {
    get marks() {
      return marked.map(({ mark }) => mark)
    },
    show(root, follow) {
      const first = replace(page, rendered(root, look))
      // Of what stayed the old elements are shown, so they are looked for only now.
      marked = Array.from(page.querySelectorAll<HTMLElement>('[data-change]'), (one) => ({ element: one, mark: markIn(one) }))
      if (follow) first?.scrollIntoView({ block: 'nearest' })
    },
    point(index) {
      for (const [at, { element: one }] of marked.entries()) one.classList.toggle('past-current', at === index)
      marked[index]?.element.scrollIntoView({ block: 'center' })
    },
    destroy: () => scroller.remove(),
  }
}

/** Puts the blocks into the page; those that are as before stay. Returns the first that is not. */
function replace(page: HTMLElement, blocks: readonly HTMLElement[]): HTMLElement | null {
  for (const one of page.querySelectorAll('.past-current')) one.classList.remove('past-current')
  let first: HTMLElement | null = null
  const old = Array.from(page.children)
  const shown = blocks.map((made, index) => {
    const before = old[index]
    if (before?.isEqualNode(made)) return before
    first ??= made
    return made
  })
  page.replaceChildren(...shown)
  return first
}

function rendered(root: DiffRoot | null, look: Look): HTMLElement[] {
  return (root?.children ?? []).map((child) => block(child, look))
}

function block(node: DiffNode, look: Look): HTMLElement {
  const made = element(tagOf(node), '')
  const parts = [...(node.runs ?? []).map((run) => inline(run, look)), ...(node.children ?? []).flatMap((child) => part(child, look))]
  if (!['hr', 'br'].includes(made.localName)) made.append(...parts)
  if (made.localName === 'p' && !made.hasChildNodes()) made.append(element('br', '')) // else it would have no height
  const mark = markOfNode(node)
  // Where its text is marked, too, the block itself is no change of its own to look at.
  if (mark) dress(made, mark, look, `past-block past-block-${mark.change}`, made.querySelector('[data-change]') === null)
  return made
}

/** A text within a block is its runs. */
function part(node: DiffNode, look: Look): HTMLElement[] {
  return node.kind === 'xmltext' ? (node.runs ?? []).map((run) => inline(run, look)) : [block(node, look)]
}

function tagOf({ tag = '', attributes = {} }: DiffNode): keyof HTMLElementTagNameMap {
  if (tag !== 'heading') return BLOCKS[tag] ?? 'div'
  const level = Number(attributes['level'])
  return level === 1 ? 'h1' : level === 2 ? 'h2' : 'h3'
}

function inline(run: DiffRun, look: Look): HTMLElement {
  const mark = markOf(run)
  const content = run.node ? block(run.node, look) : document.createTextNode(run.text ?? '\u{fffc}')
  const made = element(mark?.change === 'insert' ? 'ins' : mark?.change === 'delete' ? 'del' : 'span', '', content)
  if (mark) dress(made, mark, look, `past-${mark.change}`, true)
  return wrapped(made, run.attributes ?? {})
}

function wrapped(inner: HTMLElement, attributes: Attributes): HTMLElement {
  // The keys of marks that may overlap themselves end in a hash of their attributes.
  const names = new Set(Object.keys(attributes).map((name) => name.replace(/--.*$/u, '')))
  return MARKS.toReversed().reduce((made, [name, tag]) => (names.has(name) ? element(tag, '', made) : made), inner)
}

function dress(one: HTMLElement, mark: Mark, look: Look, name: string, counts: boolean): void {
  const { colour, words } = look(mark)
  one.className = name
  one.title = words
  one.style.setProperty('--author', colour)
  if (counts) one.dataset['change'] = JSON.stringify(mark)
}

function markIn(one: HTMLElement): Mark {
  return JSON.parse(one.dataset['change'] ?? '') as Mark
}
