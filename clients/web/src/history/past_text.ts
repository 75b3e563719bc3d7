/** Markdown at a moment, in the look of the editor. */
import { EditorState, RangeSet, StateEffect, StateField } from '@codemirror/state'
import type { Text } from '@codemirror/state'
import { Decoration, EditorView, lineNumbers } from '@codemirror/view'
import type { DecorationSet } from '@codemirror/view'
import { markdown } from '../editors/markdown.ts'
import type { MarkLook, PastView } from './past_view.ts'
import { markedText } from './tree.ts'
import type { Mark, MarkedRange } from './tree.ts'

const setMarks = StateEffect.define<DecorationSet>()

const marksField = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (marks, { effects }) => effects.find((effect) => effect.is(setMarks))?.value ?? marks,
  provide: (field) => EditorView.decorations.from(field),
})

export function create(parent: HTMLElement, look: (mark: Mark) => MarkLook): PastView {
  let ranges: MarkedRange[] = []
  const view = new EditorView({
    parent,
    extensions: [
      markdown(),
      lineNumbers(),
      EditorView.lineWrapping,
      EditorState.readOnly.of(true),
      EditorView.editable.of(false),
      EditorView.contentAttributes.of({ 'aria-label': 'Markdown text at that moment', tabindex: '0' }),
      marksField,
    ],
  })

  function decorated(current: number): DecorationSet {
    const marks = ranges.map(({ from, to, mark }, index) => {
      const { colour, words } = look(mark)
      const name = `past-${mark.change}${index === current ? ' past-current' : ''}`
      const attributes = { title: words, style: `--author: ${colour}` }
      const tagName = { insert: 'ins', delete: 'del', format: 'span' }[mark.change]
      return Decoration.mark({ class: name, attributes, tagName }).range(from, to)
    })
    return RangeSet.of(marks)
  }

  return {
    get marks() {
      return ranges.map(({ mark }) => mark)
    },
    show(root, follow) {
      const marked = markedText(root)
      ranges = marked.ranges
      const change = difference(view.state.doc, marked.text)
      const sight = follow && change ? [EditorView.scrollIntoView(change.from + change.insert.length, { yMargin: 60 })] : []
      view.dispatch({ ...(change && { changes: change }), effects: [setMarks.of(decorated(-1)), ...sight] })
    },
    point(index) {
      const range = ranges[index]
      if (!range) return
      const sight = EditorView.scrollIntoView(range.from, { y: 'center' })
      view.dispatch({ effects: [setMarks.of(decorated(index)), sight] })
    },
    destroy: () => view.destroy(),
  }
}

/** The one replacement that makes `text` of `doc`; null: they are the same. */
function difference(doc: Text, text: string): { from: number; to: number; insert: string } | null {
  const old = doc.toString()
  if (old === text) return null
  const shortest = Math.min(old.length, text.length)
  let from = 0
  while (from < shortest && old[from] === text[from]) from += 1
  let behind = 0
  while (behind < shortest - from && old.at(-1 - behind) === text.at(-1 - behind)) behind += 1
  return { from, to: old.length - behind, insert: text.slice(from, text.length - behind) }
}
