/** Tabs by the WAI-ARIA pattern: a tab is selected as soon as a key moves the focus to it. */
import { rove, stopAt } from './rove.ts'

/** `tablist` holds the tabs, each with `data-value` and `aria-controls`. Calls `onSelect` for every change; returns `select`. */
export function tabs(tablist: HTMLElement, onSelect: (value: string) => void): (value: string) => void {
  const all = Array.from(tablist.querySelectorAll<HTMLElement>('[role=tab]'))

  function select(selected: HTMLElement): void {
    for (const tab of all) {
      tab.ariaSelected = String(tab === selected)
      document.getElementById(tab.getAttribute('aria-controls') ?? '')?.toggleAttribute('hidden', tab !== selected)
    }
    stopAt(all, selected)
    onSelect(selected.dataset['value'] ?? '')
  }

  for (const tab of all) tab.addEventListener('click', () => select(tab))
  rove(tablist, all, select)
  return (value) => {
    const tab = all.find((one) => one.dataset['value'] === value)
    if (tab) select(tab)
  }
}
