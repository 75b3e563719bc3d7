import { HocuspocusProvider } from '@hocuspocus/provider'
import { Editor } from '@tiptap/core'
import Collaboration from '@tiptap/extension-collaboration'
import CollaborationCaret from '@tiptap/extension-collaboration-caret'
import StarterKit from '@tiptap/starter-kit'
import * as Y from 'yjs'
import { person } from '../person.js'
import './carets.css'

const document = new Y.Doc()
const provider = new HocuspocusProvider({
  url: `${location.origin.replace(/^http/, 'ws')}/hocuspocus`,
  name: 'examples/tiptap',
  document,
  token: '', // the demo server takes everybody for a guest; else your backend makes one
})

new Editor({
  element: window.document.querySelector('#editor'),
  extensions: [
    StarterKit.configure({ undoRedo: false }), // Collaboration has its own: one undoes what one has typed, not what others have
    Collaboration.configure({ document }),
    CollaborationCaret.configure({ provider, user: person }),
  ],
})
