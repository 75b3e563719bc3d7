import { HocuspocusProvider } from '@hocuspocus/provider'
import { Editor } from '@tiptap/core'
import Collaboration from '@tiptap/extension-collaboration'
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import StarterKit from '@tiptap/starter-kit'
import * as Y from 'yjs'
import { person } from '../person.js'
import '../tiptap/carets.css'

const note = location.pathname.split('/').pop()
const document = new Y.Doc()
const provider = new HocuspocusProvider({
  url: `${location.origin.replace(/^http/, 'ws')}/collab/hocuspocus`,
  name: `notes/${note}`,
  document,
  // A new one for each connection: the application is asked again whether this person may come in.
  token: async () => (await fetch(`/notes/${note}/token`, { method: 'POST' })).text(),
  onAuthenticated: () => editor.setEditable(provider.authorizedScope !== 'readonly'),
})

const editor = new Editor({
  element: window.document.querySelector('#editor'),
  editable: false, // until it is known what this person may do
  extensions: [
    StarterKit.configure({ undoRedo: false }),
    Collaboration.configure({ document }),
    CollaborationCaret.configure({ provider, user: person }),
  ],
})
