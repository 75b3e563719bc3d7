/** The History button. What it opens is loaded when it is pressed for the first time. */
import type { EditorKind } from '../address.ts'
import type { HistoryPanel, HistoryWhere } from '../history/panel.ts'
import { byId, create } from './dom.ts'

/** Returns a function to call when another editor is shown: an open history is then that of its document. */
export function historyButton(where: (editor: EditorKind) => HistoryWhere): (editor: EditorKind) => void {
  const button = byId('history', HTMLButtonElement)
  const panel = byId('history-panel', HTMLElement)
  let shown: EditorKind = 'markdown'
  let opened: HistoryPanel | null = null
  /** Counts what was pressed, so that what is loaded too late is not shown. */
  let turn = 0

  async function open(focus: boolean): Promise<void> {
    const now = ++turn
    button.ariaExpanded = 'true'
    panel.hidden = false
    panel.parentElement?.classList.add('with-history')
    try {
      const { openHistory } = await import('../history/panel.ts')
      const made = await openHistory(where(shown), panel, () => close(true))
      if (now !== turn) return made.close()
      opened = made
      if (focus) made.focus()
    } catch {
      if (now === turn) panel.replaceChildren(create('p', 'failed', 'The history could not be loaded. Reload the page to try again.'))
    }
  }

  function close(focus: boolean): void {
    turn += 1
    opened?.close()
    opened = null
    panel.replaceChildren()
    panel.hidden = true
    panel.parentElement?.classList.remove('with-history')
    button.ariaExpanded = 'false'
    if (focus) button.focus()
  }

  button.addEventListener('click', () => (panel.hidden ? void open(true) : close(true)))
  return (editor) => {
    if (editor === shown) return
    shown = editor
    if (panel.hidden) return
    close(false)
    void open(false)
  }
}
