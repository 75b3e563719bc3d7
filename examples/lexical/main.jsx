import { ListItemNode, ListNode } from '@lexical/list'
import { UNORDERED_LIST } from '@lexical/markdown'
import { CollaborationPlugin } from '@lexical/react/LexicalCollaborationPlugin'
import { LexicalCollaboration } from '@lexical/react/LexicalCollaborationContext'
import { LexicalComposer } from '@lexical/react/LexicalComposer'
import { ContentEditable } from '@lexical/react/LexicalContentEditable'
import { LexicalErrorBoundary } from '@lexical/react/LexicalErrorBoundary'
import { ListPlugin } from '@lexical/react/LexicalListPlugin'
import { MarkdownShortcutPlugin } from '@lexical/react/LexicalMarkdownShortcutPlugin'
import { RichTextPlugin } from '@lexical/react/LexicalRichTextPlugin'
import { createRoot } from 'react-dom/client'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { person } from '../person.js'

function providerOf(id, documents) {
  const document = new Y.Doc()
  documents.set(id, document)
  return new WebsocketProvider(`${location.origin.replace(/^http/, 'ws')}/yjs`, id, document, { connect: false })
}

const configuration = {
  namespace: 'example',
  nodes: [ListNode, ListItemNode],
  editorState: null, // it comes from the document
  onError: (error) => { throw error },
}

createRoot(document.querySelector('#editor')).render(
  <LexicalCollaboration>
    <LexicalComposer initialConfig={configuration}>
      <RichTextPlugin contentEditable={<ContentEditable aria-label="Text" />} ErrorBoundary={LexicalErrorBoundary} />
      <ListPlugin />
      <MarkdownShortcutPlugin transformers={[UNORDERED_LIST]} />
      <CollaborationPlugin
        id="examples/lexical"
        providerFactory={providerOf}
        shouldBootstrap={true}
        username={person.name}
        cursorColor={person.color}
      />
    </LexicalComposer>
  </LexicalCollaboration>,
)
