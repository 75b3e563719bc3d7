/**
 * What a client without Yjs has read of a document's log, and what it writes: a state machine without I/O. It speaks the messages
 * of `cowrite.v2.json`; where there is no socket, the polling link translates.
 *
 * Operations are told once and in the order of the log, whatever links they came by: each carries its offset. Submissions are sent
 * one after the other, and again with the same ids over the next link until they are answered: the server applies each once. An
 * answer is told when everything up to it has been.
 */
import { nonsense, textOf } from './codes.ts'
import type { Failure } from './codes.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** An operation as committed. */
export interface Operation {
  readonly id: string
  readonly type: 'insert' | 'delete' | 'format'
  readonly position: readonly (string | number)[]
  readonly content?: Json
  readonly length?: number
  readonly attributes?: { readonly [key: string]: Json }
  readonly author: string
  readonly created_at: number
  readonly vector_clock: { readonly offset: number; readonly [replica: string]: number }
}

/** An operation to be written. `id` is given where it is missing. */
export type Draft = Pick<Operation, 'type' | 'position' | 'content' | 'length' | 'attributes'> & { readonly id?: string }

export interface Submission {
  readonly request: number
  readonly operations: readonly Draft[]
  /** The last operation that had been read. */
  readonly base: string | null
  /** The last operation of the submission before, on which this one builds. */
  readonly after: string | null
}

export interface Answer {
  /** As committed: fewer or more, where others have changed the place meanwhile. */
  readonly operations: readonly Operation[]
  readonly offset: number
}

export interface Refusal {
  readonly code: string
  readonly detail: string
  readonly index?: number | undefined
  readonly field?: string | undefined
}

export interface Log {
  readonly phase: 'offline' | 'greeting' | 'live'
  /** The last operation that was read; undefined before anything was. */
  readonly head: string | null | undefined
  readonly offset: number
  /** The first one is on its way when `sent`. */
  readonly queue: readonly Submission[]
  readonly sent: boolean
  /** The first one is answered; the log up to there has not been read yet. */
  readonly answer: Answer | null
}

/** A message of the server: what its type says, unchecked. */
export interface ServerMessage {
  readonly type: string
  readonly [field: string]: unknown
}

export type LogEvent =
  | { readonly type: 'linked'; readonly access: string; readonly document: string }
  | { readonly type: 'unlinked' }
  | { readonly type: 'received'; readonly message: ServerMessage }
  | { readonly type: 'submitted'; readonly submission: Submission }
  /** What waits never will be answered. */
  | { readonly type: 'dropped' }
  /** It may be tried again. */
  | { readonly type: 'again' }

export type LogEffect =
  | { readonly type: 'send'; readonly message: { readonly type: string; readonly [field: string]: unknown } }
  /** Everything that the server had has been told; or the link is gone. */
  | { readonly type: 'synced'; readonly state: boolean }
  | { readonly type: 'operations'; readonly operations: readonly Operation[]; readonly head: string | null; readonly offset: number }
  /** The document is this now, whatever was told before. */
  | { readonly type: 'reset'; readonly state: Json; readonly head: string | null; readonly offset: number }
  | { readonly type: 'settled'; readonly request: number; readonly answer: Answer }
  | { readonly type: 'rejected'; readonly request: number; readonly refusal: Refusal }
  /** Send the event `again` in a while. */
  | { readonly type: 'wait' }
  | { readonly type: 'presence'; readonly message: ServerMessage }
  | { readonly type: 'failed'; readonly failure: Failure }

type Step = readonly [Log, readonly LogEffect[]]

export function unread(lastOperation?: string | null): Log {
  return { phase: 'offline', head: lastOperation, offset: 0, queue: [], sent: false, answer: null }
}

export function advance(log: Log, event: LogEvent): Step {
  switch (event.type) {
    case 'linked': {
      const resume = log.head === undefined ? {} : { last_operation: log.head }
      const message = { type: 'hello', access_token: event.access, document_id: event.document, ...resume }
      return [{ ...offline(log), phase: 'greeting' }, [{ type: 'send', message }]]
    }
    case 'unlinked':
      return [offline(log), log.phase === 'live' ? [{ type: 'synced', state: false }] : []]
    case 'received':
      return log.phase === 'offline' ? [log, []] : receive(log, event.message)
    case 'submitted':
      return send({ ...log, queue: [...log.queue, event.submission] })
    case 'dropped':
      return [{ ...log, queue: [], sent: false, answer: null }, []]
    case 'again':
      return send(log)
  }
}

function receive(log: Log, message: ServerMessage): Step {
  switch (message.type) {
    case 'welcome': {
      const [read, effects] = message['state'] === undefined ? operations(log, message) : reset(log, message)
      if (read.phase === 'offline') return [read, effects] // it could not be read
      return then([{ ...read, phase: 'live' }, [...effects, { type: 'synced', state: true }]], send)
    }
    case 'operations':
      return operations(log, message)
    case 'reset':
      return reset(log, message)
    case 'acknowledged':
      return acknowledged(log, message)
    case 'refused':
      return refused(log, message)
    case 'presence':
      return [log, [{ type: 'presence', message }]]
    default:
      return [log, []] // heartbeats, and what is for newer clients
  }
}

function operations(log: Log, message: ServerMessage): Step {
  const { operations: all, offset } = message
  if (!areOperations(all) || typeof offset !== 'number') return unreadable(log, message)
  const fresh = all.filter((operation) => operation.vector_clock.offset > log.offset)
  const head = fresh.length > 0 || log.head === undefined ? headOf(message) : log.head
  const next: Log = { ...log, head, offset: Math.max(log.offset, offset) }
  const told: LogEffect[] = fresh.length > 0 ? [{ type: 'operations', operations: fresh, head, offset: next.offset }] : []
  return then([next, told], settle)
}

function reset(log: Log, message: ServerMessage): Step {
  const { state, offset } = message
  if (state === undefined || typeof offset !== 'number') return unreadable(log, message)
  const head = headOf(message)
  return then([{ ...log, head, offset }, [{ type: 'reset', state: state as Json, head, offset }]], settle)
}

function acknowledged(log: Log, message: ServerMessage): Step {
  const { operations: committed, offset } = message
  if (!areOperations(committed) || typeof offset !== 'number') return unreadable(log, message)
  if (log.queue[0]?.request !== message['request']) return [log, []]
  return settle({ ...log, answer: { operations: committed, offset } })
}

/** The first submission is over as soon as everything up to its answer has been told. */
function settle(log: Log): Step {
  const [first, ...rest] = log.queue
  if (!first || !log.answer || log.answer.offset > log.offset) return [log, []]
  const told: LogEffect = { type: 'settled', request: first.request, answer: log.answer }
  return then([{ ...log, queue: rest, sent: false, answer: null }, [told]], send)
}

function refused(log: Log, message: ServerMessage): Step {
  const [first, ...rest] = log.queue
  if (!first || first.request !== message['request']) return [log, []]
  const code = textOf(message, 'code') ?? 'refused'
  if (message['retry'] === true && code !== 'unknown_previous') return [{ ...log, sent: false }, [{ type: 'wait' }]]
  const { index, field } = message as { readonly index?: number; readonly field?: string }
  const refusal: Refusal = { code, detail: textOf(message, 'detail') ?? '', index, field }
  // What was made on top of it means something else without it.
  const lost: Refusal = { code: 'previous_refused', detail: 'what it builds on was refused' }
  const built = rest.findIndex(({ after }) => after === null)
  const gone = built < 0 ? rest : rest.slice(0, built)
  const rejected: LogEffect[] = [first, ...gone].map(({ request }, place) => ({
    type: 'rejected',
    request,
    refusal: place === 0 ? refusal : lost,
  }))
  return then([{ ...log, queue: rest.slice(gone.length), sent: false, answer: null }, rejected], send)
}

function send(log: Log): Step {
  const [first] = log.queue
  if (log.phase !== 'live' || log.sent || log.answer || !first) return [log, []]
  const { request, operations: drafts, base, after } = first
  const message = { type: 'operations', request, operations: drafts, base, ...(after === null ? {} : { after }) }
  return [{ ...log, sent: true }, [{ type: 'send', message }]]
}

function then([log, effects]: Step, next: (log: Log) => Step): Step {
  const [last, more] = next(log)
  return [last, [...effects, ...more]]
}

function offline(log: Log): Log {
  return { ...log, phase: 'offline', sent: false }
}

function unreadable(log: Log, { type }: ServerMessage): Step {
  return [offline(log), [{ type: 'failed', failure: nonsense(type) }]]
}

function headOf(message: ServerMessage): string | null {
  return textOf(message, 'head') ?? null
}

function areOperations(value: unknown): value is readonly Operation[] {
  return Array.isArray(value) && value.every((one: unknown) => textOf(one, 'id') !== undefined && typeof (one as Operation).vector_clock?.offset === 'number')
}
