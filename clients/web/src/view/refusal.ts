/** The notice for a document that the server will not serve to this window any more. */
import closeCodes from '../../../../spec/close_codes.json'
import type { Refusal, Status } from '../live.ts'
import { byId } from './dom.ts'

let said: Refusal | null = null

/** Shows why, in the words of the table of close codes and in those of the server; hidden unless there is a refusal. */
export function showRefusal({ refusal, saved }: Status): void {
  if (refusal === said) return
  said = refusal
  byId('refusal', HTMLElement).hidden = refusal === null
  if (!refusal) return
  const meaning = closeCodes.find(({ number }) => number === refusal.code)?.meaning
  byId('refusal-meaning', HTMLElement).textContent = meaning ?? 'The server does not want this window to connect again.'
  byId('refusal-reason', HTMLElement).textContent = [refusal.reason, `code ${refusal.code}`].filter(Boolean).join(', ')
  byId('refusal-unsaved', HTMLElement).hidden = saved !== 'kept'
}

export function offerReload(): void {
  byId('reload', HTMLButtonElement).addEventListener('click', () => location.reload())
}
