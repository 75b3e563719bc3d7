import { CowriteProvider } from '@cowrite/client'
import * as Y from 'yjs'

const document = new Y.Doc()
new CowriteProvider({ url: location.origin, name: 'examples/textarea', document })
const text = document.getText('text')
const field = window.document.querySelector('#editor')
const undo = new Y.UndoManager(text, { trackedOrigins: new Set([field]) })

// What was typed is what differs now: everything between what is the same at the beginning and at the end. Neither end is cut
// through a character of two units, such as an emoji.
field.addEventListener('input', () => {
  const before = text.toString(), after = field.value
  const caret = field.selectionEnd // what is behind the caret was not touched; of "aa" and "aaa" it tells where the new one is
  let end = 0
  while (end < Math.min(before.length, after.length - caret) && before.at(-1 - end) === after.at(-1 - end)) end++
  if (isSecondHalf(before, before.length - end) || isSecondHalf(after, after.length - end)) end--
  let start = 0
  while (start < Math.min(before.length, after.length) - end && before[start] === after[start]) start++
  if (isSecondHalf(before, start) || isSecondHalf(after, start)) start--
  document.transact(() => {
    text.delete(start, before.length - end - start)
    text.insert(start, after.slice(start, after.length - end))
  }, field)
})

function isSecondHalf(string, at) {
  return /[\uDC00-\uDFFF]/.test(string[at] ?? '')
}

// What others type leaves the caret where it was in the text, not at its number.
let places = []
document.on('beforeTransaction', () => {
  places = [field.selectionStart, field.selectionEnd].map((at) => Y.createRelativePositionFromTypeIndex(text, at))
})
text.observe((_, transaction) => {
  if (transaction.origin === field) return
  field.value = text.toString()
  field.setSelectionRange(...places.map((place) => Y.createAbsolutePositionFromRelativePosition(place, document).index))
})

field.addEventListener('keydown', (event) => {
  const key = event.key.toLowerCase()
  if (!(event.ctrlKey || event.metaKey) || (key !== 'z' && key !== 'y')) return
  event.preventDefault() // the field's own undo knows nothing of others
  event.shiftKey || key === 'y' ? undo.redo() : undo.undo()
})
