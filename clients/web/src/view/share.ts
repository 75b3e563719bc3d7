/** The Share button copies the link to what is on the screen. */
import { byId } from './dom.ts'

const THANKS_MS = 2000

export function shareButton(link: () => URL): void {
  const button = byId('share', HTMLButtonElement)
  const announcement = byId('share-announcement', HTMLElement)
  let timer = 0
  button.addEventListener('click', async () => {
    if (!(await copy(link().href))) return
    button.dataset['copied'] = ''
    announcement.textContent = 'Link copied'
    window.clearTimeout(timer)
    timer = window.setTimeout(() => {
      delete button.dataset['copied']
      announcement.textContent = ''
    }, THANKS_MS)
  })
}

/** Copies `text`. Browsers offer the clipboard to pages from https or this machine only; elsewhere the link is shown to copy by hand. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    window.prompt('Copy this link:', text)
    return false
  }
}
