/** Lists that are made anew every two seconds, and in which somebody may stand with the keyboard. */

/** Puts rows into a list. Those that are as before stay, and so does the focus, in the row with the same `data-key`. */
export function replaceRows(list: HTMLElement, rows: readonly HTMLElement[]): void {
  const old = new Map(Array.from(list.children, (child) => [child.outerHTML, child]))
  const kept = rows.map((row) => old.get(row.outerHTML) ?? row)
  if (kept.length === list.childElementCount && kept.every((row, index) => row === list.children[index])) return
  const focused = list.contains(document.activeElement) ? document.activeElement : null
  const key = focused?.closest<HTMLElement>('[data-key]')?.dataset['key']
  const place = focused instanceof HTMLElement ? focused.dataset['place'] : undefined
  list.replaceChildren(...kept)
  if (focused === null || focused === document.activeElement) return
  const row = Array.from(list.querySelectorAll<HTMLElement>('[data-key]')).find((one) => one.dataset['key'] === key)
  const again = Array.from(row?.querySelectorAll<HTMLElement>('[data-place]') ?? []).find((one) => one.dataset['place'] === place)
  again?.focus()
}
