import { CowriteProvider } from '@cowrite/client'
import { keymap } from '@codemirror/view'
import { EditorView, basicSetup } from 'codemirror'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import * as Y from 'yjs'
import { person } from '../person.js'

// What {% collaboration note.body %} has put into the page.
const about = JSON.parse(window.document.querySelector('#collaboration').textContent)

// Asked for each session, so that Django decides anew; an answer of 403 or a login page is no token.
async function token() {
  const body = new URLSearchParams({ document: about.document })
  const answer = await fetch(about.token_url, { method: 'POST', body, headers: { 'X-CSRFToken': about.csrf_token } })
  if (!answer.ok || answer.redirected) throw new Error(`no token: ${answer.status}`)
  return answer.text()
}

const document = new Y.Doc()
const provider = new CowriteProvider({ url: `${location.origin}${about.path}/`, name: about.document, document, token })
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
