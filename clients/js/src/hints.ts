/** What a browser knows about the network and about who looks: hints, not facts. */

/** Calls `hint` when the network may be back, or may have gone, or when somebody looks at the page again. Returns how to end that. */
export function listenForHints(hint: () => void): () => void {
  const { window, document } = globalThis
  if (!window?.addEventListener) return () => {}
  const stop = new AbortController()
  const { signal } = stop
  const seen = (): void => {
    if (document.visibilityState === 'visible') hint()
  }
  for (const name of ['online', 'offline', 'pageshow']) window.addEventListener(name, hint, { signal })
  document?.addEventListener('visibilitychange', seen, { signal })
  return () => stop.abort()
}
