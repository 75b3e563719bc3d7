/** Rich text with Tiptap 3, bound by its collaboration extension to the document's `default` fragment. */
import { Editor } from '@tiptap/core'
import type { ChainedCommands } from '@tiptap/core'
import { Collaboration } from '@tiptap/extension-collaboration'
import { CollaborationCaret } from '@tiptap/extension-collaboration-caret'
import { Placeholder } from '@tiptap/extensions'
import { StarterKit } from '@tiptap/starter-kit'
import { ROOTS } from '../address.ts'
import { inkOn } from '../colour.ts'
import type { LiveDocument } from '../live.ts'
import { create } from '../view/dom.ts'
import { rove } from '../view/rove.ts'
import type { MountedEditor } from './editor.ts'

/** What the buttons of the tool bar do, by their `data-command`, and what makes them look pressed. */
const COMMANDS: Readonly<Record<string, Command>> = {
  bold: { run: (chain) => chain.toggleBold(), mark: ['bold'] },
  italic: { run: (chain) => chain.toggleItalic(), mark: ['italic'] },
  strike: { run: (chain) => chain.toggleStrike(), mark: ['strike'] },
  code: { run: (chain) => chain.toggleCode(), mark: ['code'] },
  heading: { run: (chain) => chain.toggleHeading({ level: 2 }), mark: ['heading', { level: 2 }] },
  bulletList: { run: (chain) => chain.toggleBulletList(), mark: ['bulletList'] },
  orderedList: { run: (chain) => chain.toggleOrderedList(), mark: ['orderedList'] },
  blockquote: { run: (chain) => chain.toggleBlockquote(), mark: ['blockquote'] },
}

interface Command {
  readonly run: (chain: ChainedCommands) => ChainedCommands
  readonly mark: readonly [name: string, attributes?: Record<string, unknown>]
}

export function mount(parent: HTMLElement, live: LiveDocument): MountedEditor {
  const editor = new Editor({
    element: parent.querySelector('[data-editor]') ?? parent,
    injectCSS: false, // style.css has the few rules that ProseMirror needs
    editorProps: { attributes: { 'aria-label': 'Rich text', role: 'textbox', 'aria-multiline': 'true' } },
    extensions: [
      // Yjs has its own undo, of one's own edits only. A trailing paragraph would be written by every window that opens the document.
      StarterKit.configure({ undoRedo: false, trailingNode: false, link: { openOnClick: false } }),
      Placeholder.configure({ placeholder: 'Write here. Whoever opens the same link writes with you.' }),
      Collaboration.configure({ document: live.doc, field: ROOTS.rich }),
      CollaborationCaret.configure({
        provider: { awareness: live.carets },
        user: live.awareness.getLocalState()?.['user'] as Record<string, unknown>,
        render: caret,
        selectionRender: (user) => ({ style: `background-color: ${String(user['color'])}33` }),
      }),
    ],
  })
  const bar = parent.querySelector<HTMLElement>('[role=toolbar]')
  if (bar) toolbar(bar, editor)
  return {
    lock(locked) {
      if (editor.isEditable === locked) editor.setEditable(!locked)
    },
  }
}

function toolbar(bar: HTMLElement, editor: Editor): void {
  const buttons = Array.from(bar.querySelectorAll<HTMLButtonElement>('[data-command]'))
  for (const button of buttons) {
    const command = COMMANDS[button.dataset['command'] ?? '']
    // The text keeps its selection when a button is pressed with the mouse.
    button.addEventListener('mousedown', (event) => event.preventDefault())
    button.addEventListener('click', () => {
      if (editor.isEditable) command?.run(editor.chain().focus()).run()
    })
  }
  rove(bar, buttons, () => {})

  editor.on('transaction', () => {
    for (const button of buttons) {
      const [name = '', attributes] = COMMANDS[button.dataset['command'] ?? '']?.mark ?? []
      button.ariaPressed = String(editor.isActive(name, attributes))
    }
  })
}

function caret(user: Record<string, unknown>): HTMLElement {
  const colour = String(user['color'])
  const label = create('span', 'caret-name', String(user['name']))
  const beam = create('span', 'caret', label)
  beam.style.setProperty('--colour', colour)
  beam.style.setProperty('--ink', inkOn(colour))
  return beam
}
