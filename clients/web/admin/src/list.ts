/** A row of the list of open documents. */
import { create } from '../../src/view/dom.ts'
import type { OpenDocument } from './service.ts'
import { bytes, count } from './words.ts'

const STATES = { open: '', failing: 'Not stored', damaged: 'Damaged' } as const

export function documentRow(one: OpenDocument, isShown: boolean, open: (id: string) => void): HTMLElement {
  const told = [
    count(one.people, 'person', 'people'),
    `${one.edits_per_minute} edits/min`,
    bytes(one.bytes),
    ...(one.pending_updates > 0 ? [`${one.pending_updates} waiting`] : []),
  ]
  const state = STATES[one.state]
  const words = create('small', 'muted', one.state === 'damaged' && one.bytes === null ? 'not opened' : told.join(' · '))
  const button = create('button', 'row', create('span', 'id', one.document_id), ...(state ? [create('span', 'mark-warn', state)] : []), words)
  button.dataset['place'] = 'open'
  if (isShown) button.ariaCurrent = 'true'
  button.addEventListener('click', () => open(one.document_id))
  const item = create('li', '', button)
  item.dataset['key'] = one.document_id
  return item
}
