/** Plain text with CodeMirror 6, bound by y-codemirror.next to the document's `codemirror` text. */
import { defaultKeymap } from '@codemirror/commands'
import { defineLanguageFacet, HighlightStyle, Language, languageDataProp, syntaxHighlighting } from '@codemirror/language'
import { Compartment, EditorState } from '@codemirror/state'
import type { Extension } from '@codemirror/state'
import { EditorView, keymap, lineNumbers, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { GFM, parser } from '@lezer/markdown'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import { ROOTS } from '../address.ts'
import type { LiveDocument } from '../live.ts'
import { distinctStates } from '../people.ts'
import type { MountedEditor } from './editor.ts'

const marks = HighlightStyle.define([
  { tag: tags.heading, class: 'md-heading' },
  { tag: tags.strong, class: 'md-strong' },
  { tag: tags.emphasis, class: 'md-emphasis' },
  { tag: tags.strikethrough, class: 'md-struck' },
  { tag: tags.monospace, class: 'md-code' },
  { tag: tags.quote, class: 'md-quote' },
  { tag: [tags.link, tags.url], class: 'md-link' },
  { tag: [tags.processingInstruction, tags.contentSeparator], class: 'md-sign' },
])

export function mount(parent: HTMLElement, live: LiveDocument): MountedEditor {
  const text = live.doc.getText(ROOTS.markdown)
  const lock = new Compartment()
  const view = new EditorView({
    parent,
    doc: text.toString(),
    extensions: [
      keymap.of([...yUndoManagerKeymap, ...defaultKeymap]), // Tab is not bound: it leaves the editor
      yCollab(text, { ...live.carets, getStates: () => distinctStates(live.carets.getStates()) }),
      markdown(),
      lineNumbers(),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': 'Markdown text', spellcheck: 'true', tabindex: '0' }),
      EditorView.domEventHandlers({ blur: () => hideCaret(live) }),
      placeholder('Write here. Whoever opens the same link writes with you.'),
      lock.of([]),
    ],
  })
  return {
    lock(locked) {
      if (view.state.readOnly === locked) return
      view.dispatch({ effects: lock.reconfigure([EditorState.readOnly.of(locked), EditorView.editable.of(!locked)]) })
    },
  }
}

/** Markdown by its parser alone; the ready-made language package would bring the HTML, CSS and JavaScript ones along. */
export function markdown(): Extension {
  const data = defineLanguageFacet()
  const configured = parser.configure([GFM, { props: [languageDataProp.add({ Document: data })] }])
  return [new Language(data, configured, [], 'markdown'), syntaxHighlighting(marks)]
}

/** y-codemirror leaves the caret where it was. When the focus went elsewhere on this page, we are not writing there any more. */
function hideCaret(live: LiveDocument): void {
  if (document.hasFocus()) live.awareness.setLocalStateField('cursor', null)
}
