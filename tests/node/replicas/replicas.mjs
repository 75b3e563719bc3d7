// Replicas of Yjs, led by a test:
//
//   {"call": "edit", "seed": 1}                        →  what replicas write that edit at random, and whether they end with the same
//   {"call": "read", "root": "t", "ways": [["…"], …]}  →  for each list of updates, the text in the document that has them all
import * as Y from 'yjs'
import { lead } from './led.mjs'

const WORDS = ['a', 'hello ', 'é', '同期', 'two words']
const MARKS = [{ bold: true }, { bold: null }, { color: '#abc' }]

/** mulberry32 */
function numbers(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function schedule(seed) {
  const random = numbers(seed)
  const below = (end) => Math.floor(random() * end)
  const pick = (from) => from[below(from.length)]
  const near = random() < 0.5 // all write at about one place
  const place = (length) => (near ? Math.min(length, below(4)) : below(length + 1))
  const undoing = random() < 0.4 // much is undone and redone, within what is deleted and restored as a whole
  const written = []

  function replica(_, index) {
    const doc = new Y.Doc({ gc: random() < 0.8 })
    doc.clientID = 1 + index + 10 * below(2 ** (random() < 0.5 ? 4 : 32))
    const roots = [doc.getText('text'), doc.getArray('list'), doc.getMap('map'), doc.getXmlFragment('tree')]
    const undo = new Y.UndoManager(roots, { captureTimeout: 0, ignoreRemoteMapChanges: random() < 0.5 })
    doc.on('update', (update, origin) => {
      if (origin !== 'remote') written.push(Buffer.from(update).toString('base64'))
    })
    return { doc, undo }
  }

  function paragraph() {
    const element = new Y.XmlElement('p')
    element.insert(0, [new Y.XmlText(pick(WORDS)), new Y.XmlElement('br'), new Y.XmlText(pick(WORDS))])
    return element
  }

  function editText(text) {
    const at = place(text.length)
    const some = Math.min(1 + below(4), text.length - at)
    pick([
      () => text.insert(at, pick(WORDS)),
      () => text.insert(at, pick(WORDS)),
      () => text.insert(at, pick(WORDS), pick(MARKS)),
      () => text.insertEmbed(at, { image: 'x' }),
      () => some > 0 && text.delete(at, some),
      () => some > 0 && text.format(at, some, pick(MARKS)),
      () => text.applyDelta([{ retain: at }, { insert: pick(WORDS), attributes: pick(MARKS) }, { delete: some }]),
    ])()
  }

  function editChildren(tree, make) {
    if (tree.length > 0 && random() < 0.35) {
      const at = place(tree.length - 1)
      tree.delete(at, Math.min(1 + below(3), tree.length - at))
    } else tree.insert(place(tree.length), [make()])
  }

  function edit({ doc, undo }) {
    const tree = doc.getXmlFragment('tree')
    const list = doc.getArray('list')
    const child = tree.length > 0 && tree.get(place(tree.length - 1))
    const edits = [
      () => editText(doc.getText('text')),
      () => editText(doc.getText('text')),
      () => editChildren(list, () => pick([1, 'two', Y.Array.from([1, 2])])),
      () => list.length > 0 && list.get(0) instanceof Y.Array && editChildren(list.get(0), () => 3),
      () => editChildren(tree, paragraph),
      () => child instanceof Y.XmlElement && editChildren(child, () => pick([paragraph, () => new Y.XmlText('x')])()),
      () => child instanceof Y.XmlElement && child.firstChild instanceof Y.XmlText && editText(child.firstChild),
      () => doc.getMap('map').set('one', pick([1, new Y.Text('in a map')])),
    ]
    if (undoing) edits.splice(0, 4)
    if (random() < (undoing ? 0.4 : 0.2)) for (let turn = 1 + below(3); turn > 0; turn -= 1) undo.undo()
    else if (random() < 0.1) undo.redo()
    else doc.transact(() => pick(edits)())
  }

  const replicas = Array.from({ length: (undoing ? 1 : 2) + below(3) }, replica)
  const exchange = random()
  for (let step = 0; step < 60; step += 1) {
    edit(pick(replicas))
    const [from, to] = [pick(replicas), pick(replicas)]
    if (from !== to && random() < exchange) {
      Y.applyUpdate(to.doc, Y.encodeStateAsUpdate(from.doc, Y.encodeStateVector(to.doc)), 'remote')
    }
  }
  return { written, alike: alike(replicas.map(({ doc }) => doc), written) }
}

/** Whether all show the same once they have all: those who have written, who reads their states, and who gets all updates. */
function alike(docs, written) {
  for (const from of docs) {
    for (const to of docs) Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)), 'remote')
  }
  for (const from of docs) {
    for (const to of docs) Y.applyUpdate(to, Y.encodeStateAsUpdate(from, Y.encodeStateVector(to)), 'remote')
  }
  const others = [...docs.map((doc) => [Y.encodeStateAsUpdate(doc)]), written.map((update) => Buffer.from(update, 'base64'))]
  return new Set([...docs, ...others.map(documentOf)].map(shown)).size === 1
}

function shown(doc) {
  return JSON.stringify([doc.getText('text').toString(), doc.getArray('list'), doc.getXmlFragment('tree').toString()])
}

function documentOf(updates) {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, update)
  return doc
}

await lead({
  edit: ({ seed }) => schedule(seed),
  read: ({ root, ways }) =>
    ways.map((way) => documentOf(way.map((update) => Buffer.from(update, 'base64'))).getText(root).toString()),
  forget() {},
})
