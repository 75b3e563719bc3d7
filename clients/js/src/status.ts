/** What both clients tell about their connection, in the words of Hocuspocus and y-websocket. */
import { CLOSE_CODES } from './core/codes.ts'
import type { Failure } from './core/codes.ts'
import type { Kind, State } from './core/policy.ts'
import { messageOf } from './http.ts'

export type Status = 'connecting' | 'connected' | 'disconnected'

export interface StatusEvent {
  readonly status: Status
  readonly previous: Status
  /** Why it is not connected: a close code, and what it means for people. */
  readonly code?: number
  readonly reason?: string
  /** True: the server said not to come back; `connect()` tries all the same. */
  readonly final: boolean
}

export interface TransportEvent {
  readonly transport: Kind | null
  readonly previous: Kind | null
}

/**
 * Something went wrong. `kind`: connection (it is tried again), nonsense (what came is not the protocol; it is tried again), token
 * (the token function threw; it is called again), refused (a close code from 4400 to 4499: it is not tried again), denied (the
 * server does not allow something; the connection stays), application (an observer of the document threw; in Node also a listener).
 */
export interface ErrorEvent {
  readonly kind: 'connection' | 'nonsense' | 'token' | 'refused' | 'denied' | 'application'
  readonly code: number
  readonly name: string
  readonly message: string
  readonly cause?: unknown
}

/** What both clients emit. */
export interface ConnectionEvents {
  readonly status: StatusEvent
  readonly transport: TransportEvent
  /** The token is not, or no longer, good for this document. */
  readonly authenticationFailed: { readonly code: number; readonly reason: string }
  readonly error: ErrorEvent
}

export function statusOf(state: State): Status {
  if (transportOf(state)) return 'connected'
  return state.name === 'admitting' || state.name === 'opening' ? 'connecting' : 'disconnected'
}

export function transportOf(state: State): Kind | null {
  return state.name === 'live' || state.name === 'draining' ? state.kind : null
}

export function errorEvent(failure: Failure, final = false): ErrorEvent {
  const known = failure.name === 'token' || failure.name === 'nonsense' ? failure.name : 'connection'
  return { kind: final ? 'refused' : known, code: failure.code, name: failure.name, message: failure.reason }
}

/** What the page threw. */
export function applicationError(error: unknown): ErrorEvent {
  return { kind: 'application', code: 0, name: 'application', message: messageOf(error), cause: error }
}

/** Who emits them. */
export interface Teller {
  emit<K extends keyof ConnectionEvents>(name: K, event: ConnectionEvents[K]): void
}

/** Tells a change of state by events. */
export function tellChange(client: Teller, state: State, before: State): void {
  const [status, previous] = [statusOf(state), statusOf(before)]
  const failure = 'failure' in state ? state.failure : null
  const why = failure && { code: failure.code, reason: failure.reason }
  const final = state.name === 'closed'
  if (status !== previous) client.emit('status', { status, previous, ...why, final })
  const [transport, left] = [transportOf(state), transportOf(before)]
  if (transport !== left) client.emit('transport', { transport, previous: left })
  if (failure) client.emit('error', errorEvent(failure, final))
  if (final && why && [CLOSE_CODES.unauthorized as number, CLOSE_CODES.forbidden].includes(why.code)) client.emit('authenticationFailed', why)
}
