/** What the ways to the server have in common. `M` is what goes over it: bytes for Yjs, JSON for operations. */
import type { Failure } from '../core/codes.ts'
import type { Ticket } from '../admission.ts'

export interface LinkListener<M> {
  /** It takes messages now. */
  opened(): void
  /** `answer`: it answers what was sent over this link; false only where the server says it to everybody. */
  received(message: M, answer?: boolean): void
  /** It is over, and not by `close()`. Nothing comes after it. */
  lost(failure: Failure): void
}

export interface Link<M> {
  /** Only between `opened` and `lost`, `drain()` or `close()`. */
  send(message: M): void
  /** Takes nothing more, and resolves when what was sent has been answered, or never will be. It is never rejected. */
  drain(): Promise<unknown>
  /** Ends it; what its listener is told afterwards is nobody's. Idempotent. */
  close(): void
}

/** What opening a link needs to know. */
export interface Place {
  readonly api: URL
  readonly document: string
  /** The session's, the newest at any time. */
  readonly ticket: () => Ticket
  readonly fetch: typeof globalThis.fetch
  readonly WebSocket: typeof globalThis.WebSocket
}

/** Throws where there can be none. */
export type LinkMaker<M> = (place: Place, listener: LinkListener<M>) => Link<M>
