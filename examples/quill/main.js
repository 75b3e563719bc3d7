import { CowriteProvider } from '@cowrite/client'
import Quill from 'quill'
import QuillCursors from 'quill-cursors'
import { QuillBinding } from 'y-quill'
import * as Y from 'yjs'
import { person } from '../person.js'
import 'quill/dist/quill.snow.css'

const document = new Y.Doc()
const provider = new CowriteProvider({ url: location.origin, name: 'examples/quill', document })
provider.awareness.setLocalStateField('user', person)

Quill.register('modules/cursors', QuillCursors)
const quill = new Quill('#editor', {
  theme: 'snow',
  modules: {
    cursors: true,
    history: { userOnly: true }, // one undoes what one has typed, not what others have
    toolbar: [['bold', 'italic', 'link'], [{ list: 'ordered' }, { list: 'bullet' }]],
  },
})
new QuillBinding(document.getText('text'), quill, provider.awareness)
