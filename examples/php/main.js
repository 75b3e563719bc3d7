import { CowriteProvider } from '@cowrite/client'
import { keymap } from '@codemirror/view'
import { EditorView, basicSetup } from 'codemirror'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import * as Y from 'yjs'
import { person } from '../person.js'

const note = location.pathname.split('/').pop()

// Asked for each session: the application decides anew whether this person may come in.
async function ask() {
  const answer = await fetch(`/notes/${note}/token`, { method: 'POST' })
  if (!answer.ok) throw new Error(`no token: ${answer.status}`)
  return answer.json()
}

const document = new Y.Doc()
const { cowrite } = await ask()
const url = new URL(cowrite, location.href).href
const provider = new CowriteProvider({ url, name: `notes/${note}`, document, token: async () => (await ask()).token })
provider.awareness.setLocalStateField('user', person)
await provider.whenSynced()

const text = document.getText('text')
new EditorView({
  parent: window.document.querySelector('#editor'),
  doc: text.toString(),
  extensions: [
    keymap.of(yUndoManagerKeymap),
    basicSetup,
    EditorView.lineWrapping,
    EditorView.editable.of(!provider.readOnly),
    yCollab(text, provider.awareness),
  ],
})
