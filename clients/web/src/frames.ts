/**
 * The two things that this page reads on the wire beside what y-websocket does itself: which of our own
 * messages carry edits, and the server's acknowledgement. Pure.
 */
import { createDecoder, hasContent, readVarUint } from 'lib0/decoding'
import type { Decoder } from 'lib0/decoding'

/** Offering this sub-protocol asks the server for acknowledgements. */
export const ACK_PROTOCOL = 'cowrite.ack.v1'

/** Message type of an acknowledgement, server to client. */
export const ACKNOWLEDGED = 100

const SYNC = 0
const SYNC_STEP_2 = 1
const UPDATE = 2

/** A message of ours that the server acknowledges. */
export type Upload = 'SyncStep2' | 'Update'

/** "The first `count` uploads of this socket are on disk; the newest of them at `offset` of the document's log." */
export interface Acknowledgement {
  readonly count: number
  readonly offset: number
}

/** What an outgoing message uploads; null for a question (SyncStep1), awareness and all else. */
export function uploadIn(message: Uint8Array): Upload | null {
  const decoder = createDecoder(message)
  if (!hasContent(decoder) || readVarUint(decoder) !== SYNC || !hasContent(decoder)) return null
  switch (readVarUint(decoder)) {
    case SYNC_STEP_2:
      return 'SyncStep2'
    case UPDATE:
      return 'Update'
    default:
      return null
  }
}

/** The body of message 100. The decoder stands behind the message type. Throws when the body is cut off. */
export function readAcknowledgement(decoder: Decoder): Acknowledgement {
  return { count: readVarUint(decoder), offset: readVarUint(decoder) }
}
