/** The notice for a document that the server will not serve to this window any more. */
import closeCodes from '../../../../spec/close_codes.json'
import type { Refusal } from '../live.ts'
import { byId } from './dom.ts'

/** Shows why, in the server's words or in those of the table of close codes; null hides the notice. */
export function showRefusal(refusal: Refusal | null): void {
  byId('refusal', HTMLElement).hidden = refusal === null
  if (!refusal) return
  const meaning = closeCodes.find(({ number }) => number === refusal.code)?.meaning
  byId('refusal-reason', HTMLElement).textContent = refusal.reason || meaning || 'It gave no reason.'
  byId('refusal-code', HTMLElement).textContent = `(code ${refusal.code})`
}

export function offerReload(): void {
  byId('reload', HTMLButtonElement).addEventListener('click', () => location.reload())
}
