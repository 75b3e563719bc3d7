/** What both clients tell about their connection, in the words of Hocuspocus and y-websocket. */
import type { Failure } from './core/codes.ts'
import type { Kind, State } from './core/policy.ts'

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
 * server does not allow something; the connection stays), application (an observer of the document threw).
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

export function statusOf({ name }: State): Status {
  if (name === 'live' || name === 'draining') return 'connected'
  return name === 'admitting' || name === 'opening' ? 'connecting' : 'disconnected'
}

export function transportOf(state: State): Kind | null {
  return state.name === 'live' || state.name === 'draining' ? state.kind : null
}

export function statusEvent(state: State, before: State): StatusEvent {
  const failure = 'failure' in state ? { code: state.failure.code, reason: state.failure.reason } : {}
  return { status: statusOf(state), previous: statusOf(before), ...failure, final: state.name === 'closed' }
}

export function errorEvent(failure: Failure, final = false): ErrorEvent {
  const known = failure.name === 'token' || failure.name === 'nonsense' ? failure.name : 'connection'
  return { kind: final ? 'refused' : known, code: failure.code, name: failure.name, message: failure.reason }
}

export type Emit<E extends object> = <K extends keyof E>(name: K, event: E[K]) => void

/** Tells a change of state by events. */
export function tellChange(emit: Emit<ConnectionEvents>, state: State, before: State): void {
  if (statusOf(state) !== statusOf(before)) emit('status', statusEvent(state, before))
  const [transport, previous] = [transportOf(state), transportOf(before)]
  if (transport !== previous) emit('transport', { transport, previous })
  if ('failure' in state && state !== before) emit('error', errorEvent(state.failure, state.name === 'closed'))
  if (state.name === 'closed' && (state.failure.code === 4401 || state.failure.code === 4403)) {
    emit('authenticationFailed', { code: state.failure.code, reason: state.failure.reason })
  }
}
