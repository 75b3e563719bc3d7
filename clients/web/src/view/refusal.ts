/** The notice for a document that the server will not serve to this window any more. */
import closeCodes from '../../../../spec/close_codes.json'
import type { Refusal, Status } from '../live.ts'
import { byId } from './dom.ts'

/** Where the table speaks of messages and updates, people are told of what they did. */
const IN_OTHER_WORDS: Readonly<Record<number, string>> = {
  4413: 'One edit, such as a paste, was too large for the server. Reload, and insert it in smaller pieces.',
}

let said: Refusal | null = null

export function meaningOf(code: number): string {
  const meaning = closeCodes.find(({ number }) => number === code)?.meaning
  return IN_OTHER_WORDS[code] ?? meaning ?? 'The server does not want this window to connect again.'
}

/** Shows why, in the words of the table of close codes and in those of the server; hidden unless there is a refusal. */
export function showRefusal({ refusal, saved }: Status): void {
  if (refusal === said) return
  said = refusal
  byId('refusal', HTMLElement).hidden = refusal === null
  if (!refusal) return
  byId('refusal-meaning', HTMLElement).textContent = meaningOf(refusal.code)
  byId('refusal-reason', HTMLElement).textContent = [refusal.reason, `code ${refusal.code}`].filter(Boolean).join(', ')
  byId('refusal-unsaved', HTMLElement).hidden = saved !== 'kept'
}

export function offerReload(): void {
  byId('reload', HTMLButtonElement).addEventListener('click', () => location.reload())
}
