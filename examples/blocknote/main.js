import { BlockNoteEditor } from '@blocknote/core'
import { CollaborationExtension } from '@blocknote/core/yjs'
import '@blocknote/core/style.css'
import { CowriteProvider } from '@cowrite/client'
import * as Y from 'yjs'
import { person } from '../person.js'

const document = new Y.Doc()
const provider = new CowriteProvider({ url: location.origin, name: 'examples/blocknote', document })

await provider.whenSynced() // BlockNote fills a document that looks empty with a first block, in the place of what is on its way
const fragment = document.getXmlFragment('blocks')
const editor = BlockNoteEditor.create({ extensions: [CollaborationExtension({ fragment, user: person, provider })] })
editor.mount(window.document.querySelector('#editor'))
