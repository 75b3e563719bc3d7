/** The notice for a document that the server will not serve to this window any more. */
import type { Refusal } from '../live.ts'
import { byId } from './dom.ts'

export function showRefusal(refusal: Refusal | null): void {
  byId('refusal', HTMLElement).hidden = refusal === null
  if (!refusal) return
  byId('refusal-reason', HTMLElement).textContent = refusal.reason || 'It gave no reason.'
  byId('refusal-code', HTMLElement).textContent = `code ${refusal.code}`
}

export function offerReload(): void {
  byId('reload', HTMLButtonElement).addEventListener('click', () => location.reload())
}
