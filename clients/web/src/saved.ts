/** When may the page say "Saved"? Pure. */

/** What the provider of a document says of it. */
export interface Progress {
  /** There is a connection. */
  readonly connected: boolean
  /** All that the server had has arrived over it. */
  readonly synced: boolean
  /** So many edits of this window are not known to be on the server's disk. */
  readonly unsynced: number
  /** The server takes what is written. */
  readonly taken: boolean
}

/** What stands in the way of writing and storing. */
export interface Hindrance {
  /** The document is damaged in the server's database. */
  readonly damaged: boolean
  /** Why the server does not take what was written. */
  readonly denied: string | null
  /** An acknowledgement has been due for `LATE_MS`. */
  readonly late: boolean
}

/** A server that stores acknowledges within a fraction of a second. */
export const LATE_MS = 10_000

/**
 * saved: everything typed here is on disk · saving: on its way · kept: there is no connection, or the server does not take them: the edits are in this window only ·
 * idle: nothing was typed here that is not on disk, but the server cannot confirm the whole document now.
 */
export type SavedState = 'saved' | 'saving' | 'kept' | 'idle'

export function savedState({ connected, synced, unsynced, taken }: Progress): SavedState {
  if (unsynced > 0) return connected && taken ? 'saving' : 'kept'
  return connected && synced && taken ? 'saved' : 'idle'
}

/** For people: what is the matter, and what can be done about it; null: nothing is. */
export function troubleIn({ damaged, denied, late }: Hindrance): string | null {
  if (damaged) {
    return (
      'This document is damaged on the server: reading only. What is typed here already is kept in this window. ' +
      'Whoever runs the server mends it: `cowrite verify` says what is wrong, and it comes back by itself.'
    )
  }
  if (denied !== null) return `The server does not take what was written here: ${denied}.`
  if (late) return 'The server cannot save just now. What was written is kept in this window: leave it open.'
  return null
}
