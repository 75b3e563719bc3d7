import { CowriteProvider } from '@cowrite/client'
import Quill from 'quill'
import QuillCursors from 'quill-cursors'
import { QuillBinding } from 'y-quill'
import * as Y from 'yjs'
import { person } from '../person.js'
import 'quill/dist/quill.snow.css'

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

Quill.register('modules/cursors', QuillCursors)
const quill = new Quill('#editor', {
  theme: 'snow',
  readOnly: provider.readOnly,
  modules: { cursors: true, history: { userOnly: true } }, // one undoes what one has typed, not what others have
})
new QuillBinding(document.getText('text'), quill, provider.awareness)
