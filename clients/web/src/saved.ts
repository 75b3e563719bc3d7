/** When may the page say "Saved"? Pure. */

/** What the provider of a document says of it. */
export interface Progress {
  /** There is a connection. */
  readonly connected: boolean
  /** All that the server had has arrived over it. */
  readonly synced: boolean
  /** So many edits of this window are not known to be on the server's disk. */
  readonly unsynced: number
}

/**
 * saved: everything typed here is on disk · saving: on its way · kept: no connection, the edits are in this window only ·
 * idle: nothing was typed here that is not on disk, but the server cannot confirm the whole document now.
 */
export type SavedState = 'saved' | 'saving' | 'kept' | 'idle'

export function savedState({ connected, synced, unsynced }: Progress): SavedState {
  if (unsynced > 0) return connected ? 'saving' : 'kept'
  return connected && synced ? 'saved' : 'idle'
}
