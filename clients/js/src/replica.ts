/** A Y.Doc and its awareness, as the session and other tabs use them. */
import { applyAwarenessUpdate, encodeAwarenessUpdate, modifyAwarenessUpdate, removeAwarenessStates } from 'y-protocols/awareness'
import type { Awareness } from 'y-protocols/awareness'
import { applyUpdate, decodeStateVector, decodeUpdate, encodeStateAsUpdate, encodeStateVector } from 'yjs'
import type { Doc } from 'yjs'
import type { Bytes } from './core/bytes.ts'
import { messageOf } from './http.ts'

/** What came from the server or from another tab: not to be sent back there. */
export interface Origin {
  readonly from: 'server' | 'tab'
  readonly provider: object
}

/** What came is no update, or no awareness. */
export class Unreadable extends Error {}

/** The update that brings nothing. */
export const NOTHING: Bytes = Uint8Array.of(0, 0)

export class YjsReplica {
  readonly document: Doc
  readonly awareness: Awareness | null

  constructor(document: Doc, awareness: Awareness | null) {
    this.document = document
    this.awareness = awareness
  }

  vector(): Bytes {
    return encodeStateVector(this.document) as Bytes
  }

  /** Throws `Unreadable` for what is no state vector. */
  missing(vector: Bytes): Bytes {
    return reading(
      () => encodeStateAsUpdate(this.document, vector) as Bytes,
      () => decodeStateVector(vector),
    )
  }

  /** Throws `Unreadable`; and what an observer of the document throws, after the update has been applied. */
  apply(update: Bytes, origin: Origin): void {
    reading(
      () => applyUpdate(this.document, update, origin),
      () => decodeUpdate(update),
    )
  }

  /** Throws `Unreadable`; and what a listener of the awareness throws, after all have been met. */
  meet(update: Bytes, origin: Origin): void {
    const { awareness } = this
    if (!awareness) return
    reading(
      () => applyAwarenessUpdate(awareness, update, origin),
      () => modifyAwarenessUpdate(update, (state: unknown) => state),
    )
  }

  /** The awareness of this client, as it is now or as it went, or as it is in `states`; null when it never had any. */
  own(states: Awareness['states'] | undefined = this.awareness?.states): Bytes | null {
    const { awareness } = this
    return awareness?.meta.has(awareness.clientID) ? (encodeAwarenessUpdate(awareness, [awareness.clientID], states) as Bytes) : null
  }

  /** The same with a clock that is news to everybody, whatever link it was last told by. */
  renewed(): Bytes | null {
    const { awareness } = this
    const meta = awareness?.meta.get(awareness.clientID)
    if (!awareness?.getLocalState() || !meta) return null
    awareness.meta.set(awareness.clientID, { ...meta, clock: meta.clock + 1 })
    return this.own()
  }

  /** Nobody else is seen any more, until they are told of again: with the same clock, too. Throws what a listener throws. */
  forgetOthers(origin: Origin): void {
    const { awareness } = this
    if (!awareness) return
    const others = [...awareness.getStates().keys()].filter((client) => client !== awareness.clientID)
    try {
      removeAwarenessStates(awareness, others, origin)
    } finally {
      for (const client of others) awareness.meta.delete(client)
    }
  }
}

/** Does it. What is thrown is `Unreadable` where `look` cannot read either what came; else it is of the page. */
function reading<T>(work: () => T, look: () => unknown): T {
  try {
    return work()
  } catch (error) {
    try {
      look()
    } catch (unreadable) {
      throw new Unreadable(messageOf(unreadable))
    }
    throw error
  }
}
