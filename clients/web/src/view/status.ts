/** The foot of the sheet: the connection, and whether everything is saved. */
import type { Link, Status } from '../live.ts'
import type { SavedState } from '../saved.ts'
import { byId } from './dom.ts'

/** The first word, and what a narrow window leaves out. */
const LINK_WORDS: Record<Link, readonly [string, string]> = {
  connecting: ['Connecting', '…'],
  live: ['Live', ''],
  slow: ['Live, slow', ' connection'],
  offline: ['Offline', ', reconnecting…'],
  refused: ['Disconnected', ''],
}
const SAVED_WORDS: Record<SavedState, string> = {
  saved: 'Saved',
  saving: 'Saving…',
  kept: 'Not saved — kept in this window',
  idle: 'No unsaved changes',
}

/** "Saved" waits this long after the acknowledgement, so that it does not flicker between keystrokes. It is never early. */
const CALM_MS = 250
/** A screen reader hears of a state that has lasted this long and differs from the last one it heard of. */
const ANNOUNCE_MS = 1500

/** Returns a function that shows a status; call it after every change. */
export function statusLine(): (status: Status) => void {
  const link = byId('link', HTMLElement)
  const saved = byId('saved', HTMLElement)
  const words = byId('saved-words', HTMLElement)
  const trouble = byId('trouble', HTMLElement)
  const announce = announcer(byId('announcement', HTMLElement))
  let calm = 0

  function showSaved(status: Status): void {
    saved.dataset['state'] = status.saved
    words.textContent = SAVED_WORDS[status.saved]
    announce(SAVED_WORDS[status.saved])
  }

  return (status) => {
    link.dataset['state'] = status.link
    const [word, more] = LINK_WORDS[status.link]
    byId('link-word', HTMLElement).textContent = word
    byId('link-more', HTMLElement).textContent = more
    if (trouble.textContent !== (status.trouble ?? '')) trouble.textContent = status.trouble
    window.clearTimeout(calm)
    if (status.saved === 'saved' && saved.dataset['state'] === 'saving') {
      calm = window.setTimeout(() => showSaved(status), CALM_MS)
    } else {
      showSaved(status)
    }
  }
}

function announcer(region: HTMLElement): (words: string) => void {
  let timer = 0
  let heard = ''
  return (words) => {
    window.clearTimeout(timer)
    timer = window.setTimeout(() => {
      if (words === heard) return
      heard = words
      region.textContent = words
    }, ANNOUNCE_MS)
  }
}
