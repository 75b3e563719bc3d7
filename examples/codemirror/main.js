import { EditorView, basicSetup } from 'codemirror'
import { keymap } from '@codemirror/view'
import { yCollab, yUndoManagerKeymap } from 'y-codemirror.next'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { person } from '../person.js'

const document = new Y.Doc()
const provider = new WebsocketProvider(`${location.origin.replace(/^http/, 'ws')}/yjs`, 'examples/codemirror', document)
provider.awareness.setLocalStateField('user', person)

const text = document.getText('text')
new EditorView({
  parent: window.document.querySelector('#editor'),
  doc: text.toString(),
  // The keymap comes first: its undo takes back what one has typed, not what others have.
  extensions: [keymap.of(yUndoManagerKeymap), basicSetup, EditorView.lineWrapping, yCollab(text, provider.awareness)],
})
