// A text that is kept in the browser: y-indexeddb beside @cowrite/client, as the client's README has it.
import { CowriteProvider } from '@cowrite/client'
import { IndexeddbPersistence } from 'y-indexeddb'
import { Doc } from 'yjs'

const NAME = 'offline'
const [area, status, unsaved] = ['text', 'status', 'unsaved'].map((id) => document.getElementById(id))

const doc = new Doc()
const stored = new IndexeddbPersistence(NAME, doc)
await stored.whenSynced
const provider = new CowriteProvider({ url: new URL('..', location.href), name: NAME, document: doc })

const text = doc.getText('text')
let shown = ''

function show() {
  if (text.toString() === shown) return
  const { selectionStart, selectionEnd } = area
  area.value = shown = text.toString()
  area.setSelectionRange(selectionStart, selectionEnd)
}

/** What was typed: the part that is another one now. */
function write() {
  const { value } = area
  let [begin, end] = [0, 0]
  const shorter = Math.min(value.length, shown.length)
  while (begin < shorter && value[begin] === shown[begin]) begin++
  while (end < shorter - begin && value.at(-1 - end) === shown.at(-1 - end)) end++
  const [gone, come] = [shown.length - begin - end, value.slice(begin, value.length - end)]
  shown = value
  doc.transact(() => {
    text.delete(begin, gone)
    text.insert(begin, come)
  })
}

function tell() {
  status.value = provider.status
  unsaved.value = provider.unsyncedChanges
}

text.observe(show)
area.addEventListener('input', write)
provider.on('status', tell)
provider.on('unsyncedChanges', tell)
show()
tell()
