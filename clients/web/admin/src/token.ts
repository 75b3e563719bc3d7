/** Where the token is kept: in this window, and no longer in its address than it takes to read it there. */

const KEY = 'cowrite-admin-token'
const FRAGMENT = '#token='

interface Kept {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

/** The token behind `#token=` in the address, which is taken out of it and of the history; else the one kept for this window. */
export function recall(
  place: { readonly hash: string; readonly pathname: string; readonly search: string },
  history: { replaceState(data: unknown, unused: string, url: string): void },
  kept: Kept,
): string | null {
  if (!place.hash.startsWith(FRAGMENT)) return kept.getItem(KEY)
  const token = place.hash.slice(FRAGMENT.length)
  history.replaceState(null, '', place.pathname + place.search)
  kept.removeItem(KEY) // whatever becomes of the new one
  return token
}

export function remember(kept: Kept, token: string): void {
  kept.setItem(KEY, token)
}

export function forget(kept: Kept): void {
  kept.removeItem(KEY)
}
