// Makes yjs_corpus.jsonl anew: updates of Yjs from random schedules, each with a receiver's state and whether Yjs left something
// pending there. The same every time.
//
//   cd clients/web && node ../../tests/crdt/yjs_corpus.mjs > ../../tests/crdt/yjs_corpus.jsonl
import { createRequire } from 'node:module'
import process from 'node:process'

const Y = createRequire(`${process.cwd()}/`)('yjs')

console.log = console.error // Yjs says there when two replicas happen to have the same id

const LINES = 500
const WORDS = ['a', 'hello ', 'ü', '👋 ', 'two words', '\u0000', '同期']
const VALUES = [1, -7, 2.5, true, null, 'text', { a: [1, { b: null }] }, [], new Uint8Array([0, 255])]

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
  const written = []

  function replica() {
    const doc = new Y.Doc({ gc: random() < 0.7, guid: `guid ${seed}` })
    doc.clientID = 1 + below(2 ** (random() < 0.5 ? 8 : 32))
    const undo = new Y.UndoManager([doc.getText('text'), doc.getMap('map')], { captureTimeout: 0 })
    doc.on('update', (update, origin) => {
      if (origin !== 'remote') written.push(update)
    })
    return { doc, undo }
  }

  function nested() {
    const kind = pick([Y.Text, Y.Map, Y.Array, Y.XmlElement, Y.XmlText, Y.Doc])
    if (kind === Y.Doc) return new Y.Doc({ guid: `sub ${below(9)}`, autoLoad: random() < 0.5 })
    if (kind === Y.Text) return new Y.Text(pick(WORDS))
    if (kind === Y.Map) return new Y.Map([['key', pick(VALUES)]])
    if (kind === Y.Array) return Y.Array.from([pick(VALUES)])
    return kind === Y.XmlElement ? new Y.XmlElement('p') : new Y.XmlText(pick(WORDS))
  }

  function edit({ doc, undo }) {
    const text = doc.getText('text')
    const list = doc.getArray('list')
    const map = doc.getMap('map')
    const tree = doc.getXmlFragment('tree')
    const at = below(text.length + 1)
    const some = Math.min(1 + below(4), text.length - at)
    const edits = [
      () => text.insert(at, pick(WORDS)),
      () => text.insert(at, pick(WORDS), { bold: true }),
      () => some > 0 && text.delete(at, some),
      () => some > 0 && text.format(at, some, pick([{ bold: null }, { color: '#abc' }, { link: { href: 'x' } }])),
      () => text.insertEmbed(at, pick([{ image: 'x' }, nested()])),
      () => map.set(pick(['one', 'two']), random() < 0.6 ? pick([...VALUES, undefined, 2n ** 40n]) : nested()),
      () => map.delete(pick(['one', 'two'])),
      () => list.insert(below(list.length + 1), random() < 0.6 ? [pick(VALUES), pick(VALUES)] : [nested()]),
      () => list.length > 0 && list.delete(below(list.length), 1),
      () => tree.insert(below(tree.length + 1), [pick([new Y.XmlElement('div'), new Y.XmlText(pick(WORDS))])]),
      () => tree.length > 0 && tree.delete(below(tree.length), 1),
      () => tree.firstChild instanceof Y.XmlElement && tree.firstChild.setAttribute('class', pick(WORDS)),
      () => undo.undo(),
    ]
    doc.transact(() => pick(edits)())
    if (random() < 0.1) undo.undo()
  }

  const replicas = Array.from({ length: 2 + below(2) }, replica)
  for (let step = 0; step < 10 + below(40); step += 1) {
    edit(pick(replicas))
    const [from, to] = [pick(replicas), pick(replicas)]
    if (from !== to && random() < 0.4) {
      Y.applyUpdate(to.doc, Y.encodeStateAsUpdate(from.doc, Y.encodeStateVector(to.doc)), 'remote')
    }
  }

  if (written.length === 0) return null

  // A receiver that has some of it is sent one of these: an edit, several merged, a whole state, a part of one.
  const receiver = new Y.Doc()
  for (const update of written.slice(0, below(written.length))) if (random() < 0.95) Y.applyUpdate(receiver, update)
  if (receiver.store.pendingStructs || receiver.store.pendingDs) return null
  const stateVector = Y.encodeStateVector(receiver)
  const { doc } = pick(replicas)
  const update = pick([
    () => pick(written),
    () => Y.mergeUpdates([pick(written), pick(written), pick(written)]),
    () => Y.encodeStateAsUpdate(doc),
    () => Y.diffUpdate(Y.encodeStateAsUpdate(doc), Y.encodeStateVector(pick(replicas).doc)),
  ])()
  Y.applyUpdate(receiver, update)
  const pending = receiver.store.pendingStructs !== null || receiver.store.pendingDs !== null
  const base64 = (bytes) => Buffer.from(bytes).toString('base64')
  return JSON.stringify({ state_vector: base64(stateVector), update: base64(update), pending })
}

const lines = new Set()
for (let seed = 1; lines.size < LINES; seed += 1) {
  const line = schedule(seed)
  if (line !== null && line.length < 4000) lines.add(line)
}
process.stdout.write(`${[...lines].join('\n')}\n`)
