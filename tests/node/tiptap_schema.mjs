// What Tiptap's binding makes of documents: on stdin a JSON array of Yjs updates in Base64, on stdout what it complains of in each,
// and the names that StarterKit alone has. The packages are those of the page (argument: its folder), with every extension configured as it comes.
import { createRequire } from 'node:module'
import { argv, stdin } from 'node:process'
import { json } from 'node:stream/consumers'

const page = createRequire(`${argv[2]}/package.json`)
const { getSchema } = page('@tiptap/core')
const { TaskItem, TaskList } = page('@tiptap/extension-list')
const { StarterKit } = page('@tiptap/starter-kit')
const { yXmlFragmentToProseMirrorRootNode } = page('@tiptap/y-tiptap')
const Y = page('yjs')

const schema = getSchema([StarterKit, TaskList, TaskItem])
const alone = getSchema([StarterKit])

function complaint(update) {
  const document = new Y.Doc()
  Y.applyUpdate(document, Buffer.from(update, 'base64'))
  const fragment = document.getXmlFragment('default')
  const before = fragment.toString()
  try {
    yXmlFragmentToProseMirrorRootNode(fragment, schema).check()
  } catch (error) {
    return error.message
  }
  return fragment.toString() === before ? '' : `deleted: of ${before} it left ${fragment.toString()}`
}

const complaints = (await json(stdin)).map(complaint)
console.log(JSON.stringify({ complaints, names: [...Object.keys(alone.nodes), ...Object.keys(alone.marks)] }))
