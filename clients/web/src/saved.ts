/**
 * When may the page say "Saved"? A pure value that is told what happens and answers that question.
 *
 * The server acknowledges uploads (SyncStep2 and Update messages) of one socket in the order in which they were sent, each
 * after it was committed. So everything of this window is on disk when, on the socket that is open now,
 *
 *   the server's state has arrived · our answer to its SyncStep1 went out (it carries all that was typed while
 *   there was no socket) · every upload is acknowledged · and no edit is waiting for a message that carries it.
 */
import type { Acknowledgement, Upload } from './frames.ts'

export interface Progress {
  /** A socket is open. What follows speaks of that socket only and starts over with the next one. */
  readonly open: boolean
  /** The server's SyncStep2 has arrived. */
  readonly synced: boolean
  /** Our SyncStep2 was sent. */
  readonly answered: boolean
  /** Uploads sent. */
  readonly sent: number
  /** Uploads acknowledged. */
  readonly acknowledged: number

  /** An edit was made that no upload carries yet. */
  readonly unsent: boolean
  /** Edits of this window are not known to be on disk. Outlives sockets. */
  readonly unsaved: boolean
  /** Offset of the newest acknowledgement; 0 before the first. */
  readonly offset: number
}

export type ProgressEvent =
  | { readonly type: 'opened' | 'closed' | 'synced' | 'edited' }
  | { readonly type: 'sent'; readonly upload: Upload }
  | ({ readonly type: 'acknowledged' } & Acknowledgement)

/**
 * saved: everything typed here is on disk · saving: on its way · kept: no connection, the edits are in this window only ·
 * idle: nothing was typed here that is not on disk, but the server cannot confirm the whole document now.
 */
export type SavedState = 'saved' | 'saving' | 'kept' | 'idle'

const NO_SOCKET = { open: false, synced: false, answered: false, sent: 0, acknowledged: 0 } as const

/** A fresh window: no socket yet, nothing typed. */
export const START: Progress = { ...NO_SOCKET, unsent: false, unsaved: false, offset: 0 }

export function advance(progress: Progress, event: ProgressEvent): Progress {
  const next = step(progress, event)
  return isSaved(next) ? { ...next, unsaved: false } : next
}

export function savedState(progress: Progress): SavedState {
  if (isSaved(progress)) return 'saved'
  if (!progress.unsaved) return 'idle'
  return progress.open ? 'saving' : 'kept'
}

function step(progress: Progress, event: ProgressEvent): Progress {
  switch (event.type) {
    case 'opened':
      return { ...progress, ...NO_SOCKET, open: true }
    case 'closed':
      return { ...progress, ...NO_SOCKET }
    case 'synced':
      return { ...progress, synced: true }
    case 'edited':
      return { ...progress, unsent: true, unsaved: true }
    case 'sent':
      return {
        ...progress,
        sent: progress.sent + 1,
        answered: progress.answered || event.upload === 'SyncStep2',
        unsent: false,
      }
    case 'acknowledged':
      return { ...progress, acknowledged: event.count, offset: event.offset }
  }
}

function isSaved(progress: Progress): boolean {
  return (
    progress.open &&
    progress.synced &&
    progress.answered &&
    progress.acknowledged === progress.sent &&
    !progress.unsent
  )
}
