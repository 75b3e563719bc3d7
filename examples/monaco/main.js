import { CowriteProvider } from '@cowrite/client'
import * as monaco from 'monaco-editor/esm/vs/editor/edcore.main.js'
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker'
import { MonacoBinding } from 'y-monaco'
import * as Y from 'yjs'
import { person } from '../person.js'
import './carets.css'

self.MonacoEnvironment = { getWorker: () => new EditorWorker() }

const document = new Y.Doc()
const provider = new CowriteProvider({ url: location.origin, name: 'examples/monaco', document })
provider.awareness.setLocalStateField('user', person)

const text = document.getText('text')
const editor = monaco.editor.create(window.document.querySelector('#editor'), {
  automaticLayout: true,
  minimap: { enabled: false },
  theme: 'vs',
})
const binding = new MonacoBinding(text, editor.getModel(), new Set([editor]), provider.awareness)

// Monaco's own undo would take back what others have typed, too.
const undo = new Y.UndoManager(text, { trackedOrigins: new Set([binding]) })
editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyCode.KeyZ, () => undo.undo())
editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyMod.Shift | monaco.KeyCode.KeyZ, () => undo.redo())
editor.addCommand(monaco.KeyMod.CtrlCmd | monaco.KeyCode.KeyY, () => undo.redo())
