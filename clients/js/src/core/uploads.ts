/**
 * Which edits of this replica are known to be on the server's disk. A pure value.
 *
 * The server acknowledges the uploads (step2 and update messages) of one link in the order in which they were sent, each after it
 * was committed. The first upload of a link is a step2, which carries all that the server lacked, so each upload stands for all
 * edits that were made until then, whatever became of earlier links.
 */
export interface Uploads {
  /** Edits that were made here. */
  readonly edits: number
  /** So many of them, from the first on, are durable. */
  readonly saved: number
  /** Of each upload of this link that is not acknowledged: how many edits it stands for. */
  readonly waiting: readonly number[]
  /** Uploads of this link that are acknowledged. */
  readonly acknowledged: number
}

export const NO_UPLOADS: Uploads = { edits: 0, saved: 0, waiting: [], acknowledged: 0 }

export function unsaved(uploads: Uploads): number {
  return uploads.edits - uploads.saved
}

export function edited(uploads: Uploads): Uploads {
  return { ...uploads, edits: uploads.edits + 1 }
}

export function uploaded(uploads: Uploads): Uploads {
  return { ...uploads, waiting: [...uploads.waiting, uploads.edits] }
}

/** A new link: its uploads are counted anew, and what the old one did not acknowledge is uploaded again. */
export function relinked(uploads: Uploads): Uploads {
  return { ...uploads, waiting: [], acknowledged: 0 }
}

/** The first `count` uploads of this link are durable. A count that says less than an earlier one, or too much, says nothing more. */
export function acknowledged(uploads: Uploads, count: number): Uploads {
  const fresh = Math.min(Math.max(0, count - uploads.acknowledged), uploads.waiting.length)
  return {
    ...uploads,
    saved: Math.max(uploads.saved, uploads.waiting[fresh - 1] ?? 0),
    waiting: uploads.waiting.slice(fresh),
    acknowledged: uploads.acknowledged + fresh,
  }
}
