/** One tab stop for a row of buttons; arrow keys, Home and End move within it (WAI-ARIA's roving tabindex). */

/** Calls `onMove` with each item that gets the focus by a key. */
export function rove(row: HTMLElement, items: readonly HTMLElement[], onMove: (item: HTMLElement) => void): void {
  stopAt(items, items.find((item) => item.tabIndex === 0) ?? items[0])
  row.addEventListener('focusin', (event) => {
    const focused = items.find((item) => item === event.target)
    if (focused) stopAt(items, focused)
  })
  row.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return
    const current = items.findIndex((item) => item === event.target)
    const next = items[destination(event.key, current, items.length)]
    if (!next) return
    event.preventDefault()
    next.focus()
    onMove(next)
  })
}

/** Makes `stop` the one item that the Tab key reaches. */
export function stopAt(items: readonly HTMLElement[], stop: HTMLElement | undefined): void {
  for (const item of items) item.tabIndex = item === stop ? 0 : -1
}

/** Index of the item that a key leads to; -1 for other keys. */
function destination(key: string, current: number, count: number): number {
  switch (key) {
    case 'ArrowRight':
      return (current + 1) % count
    case 'ArrowLeft':
      return (current - 1 + count) % count
    case 'Home':
      return 0
    case 'End':
      return count - 1
    default:
      return -1
  }
}
