/** The page: two documents, one shown at a time, and what is said about them. */
import { EDITORS, ROOTS, documentId, linkTo, readAddress, serverUrl } from './address.ts'
import type { EditorKind } from './address.ts'
import { distinct, inventIdentity, recallIdentity, rememberIdentity } from './identity.ts'
import type { Identity } from './identity.ts'
import { LiveDocument } from './live.ts'
import { announced, othersIn } from './people.ts'
import type { Person } from './people.ts'
import { byId } from './view/dom.ts'
import { raiseFlags } from './view/flags.ts'
import { historyButton } from './view/history.ts'
import { panels } from './view/panels.ts'
import { peopleList } from './view/people.ts'
import { profile } from './view/profile.ts'
import { offerReload, showRefusal } from './view/refusal.ts'
import { shareButton } from './view/share.ts'
import { statusLine } from './view/status.ts'
import { tabs } from './view/tabs.ts'

/** So long after its start a window that saw nobody keeps its colour; whoever comes later takes another one. */
const NEWCOMER_MS = 3000

const page = new URL(location.href)
const { name, editor: first } = readAddress(page)
const remembered = recallIdentity(sessionStorage)
let identity: Identity = remembered ?? recallIdentity(localStorage) ?? inventIdentity(Math.random)
const documents: Record<EditorKind, LiveDocument> = { markdown: join('markdown'), rich: join('rich') }
const showPanel = panels(documents)
const showStatus = statusLine()
const showPeople = peopleList()
const showIdentity = profile((next) => {
  colourIsSettled = true
  become(next, true)
})
const showHistory = historyButton((editor) => ({
  editor,
  live: documents[editor],
  place: { server: serverUrl(page), document: documentId({ name, editor }), root: ROOTS[editor], author: () => identity.name },
  present: () => [identity, ...others()],
}))

let colourIsSettled = remembered !== null
let shown: EditorKind = first

function join(editor: EditorKind): LiveDocument {
  return new LiveDocument(serverUrl(page), documentId({ name, editor }), identity.name)
}

/** Two windows of one browser shall be two people: what was made up is kept for this window, what was chosen for all of them. */
function become(next: Identity, chosen: boolean): void {
  identity = next
  rememberIdentity(sessionStorage, identity)
  if (chosen) rememberIdentity(localStorage, identity)
  for (const editor of EDITORS) {
    const { awareness } = documents[editor]
    awareness.setLocalState({ ...awareness.getLocalState(), ...announced(identity, editor === shown) })
  }
}

function select(editor: EditorKind): void {
  documents[shown].awareness.setLocalStateField('cursor', null)
  shown = editor
  become(identity, false)
  history.replaceState(null, '', linkTo({ name, editor }, page))
  byId('open-editor', HTMLInputElement).value = editor
  showPanel(editor)
  showHistory(editor)
  refreshStatus()
  refreshPeople()
}

function refreshStatus(): void {
  const { status } = documents[shown]
  showStatus(status)
  showRefusal(status)
  for (const editor of EDITORS) {
    byId(`tab-${editor}`, HTMLElement).toggleAttribute('data-unsaved', documents[editor].status.saved === 'kept')
  }
}

function others(): Person[] {
  return EDITORS.flatMap((editor) => {
    const { awareness, doc } = documents[editor]
    return othersIn(awareness.getStates(), doc.clientID, editor)
  })
}

function refreshPeople(): void {
  const people = others()
  showPeople(people, shown)
  if (people.length > 0) avoidTakenColour(people)
}

/** A window that comes for the first time takes a colour that nobody here has, once. */
function avoidTakenColour(people: readonly Person[]): void {
  if (colourIsSettled) return
  colourIsSettled = true
  become(distinct(identity, new Set(people.map((person) => person.colour))), false)
  showIdentity(identity)
}

/** Edits that are not known to be on disk, in either document. */
function anythingUnsaved(): boolean {
  return EDITORS.some((editor) => ['kept', 'saving'].includes(documents[editor].status.saved))
}

document.title = `${name} · cowrite`
byId('open-name', HTMLInputElement).value = name
showIdentity(identity)
for (const editor of EDITORS) {
  documents[editor].onStatus(refreshStatus)
  documents[editor].awareness.on('change', refreshPeople)
  documents[editor].onActivity((names) => raiseFlags(byId(`panel-${editor}`, HTMLElement), names))
}
window.setTimeout(() => (colourIsSettled = true), NEWCOMER_MS)
tabs(byId('tabs', HTMLElement), (value) => {
  const editor = EDITORS.find((kind) => kind === value)
  if (editor) select(editor)
})(first)
byId('profile', HTMLElement).addEventListener('toggle', ({ newState }) => {
  if (newState === 'open') return
  for (const editor of EDITORS) documents[editor].rename(identity.name) // not with every key: it connects anew
})
shareButton(() => linkTo({ name, editor: shown }, page))
offerReload()

window.addEventListener('beforeunload', (event) => {
  if (anythingUnsaved()) event.preventDefault()
})
window.addEventListener('pagehide', () => {
  for (const editor of EDITORS) documents[editor].leave()
})
window.addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload() // brought back from the browser's cache after it had left
})
window.addEventListener('hashchange', () => location.reload())
