/**
 * What is said over one link at a time, for one document: a state machine without I/O, timers or Yjs. Events go in, effects come
 * out, and whoever runs it carries them out in their order.
 *
 *   offline ──linked──▶ greeting ──their step1──▶ answered
 *      ▲                    │                        │
 *      └─────unlinked, or a frame that cannot be read┘
 *
 * A link begins with our step1 and our awareness. Edits wait until the server has asked for what it lacks (its step1): our answer,
 * a step2, carries everything that was edited so far, and from then on each edit is sent as it is made. So nothing is lost with a
 * link, and nothing overtakes what it builds on.
 */
import { Malformed } from './bytes.ts'
import type { Bytes } from './bytes.ts'
import { nonsense } from './codes.ts'
import type { Failure } from './codes.ts'
import { decode } from './messages.ts'
import type { Message, Sent } from './messages.ts'
import { acknowledged, edited, NO_UPLOADS, relinked, unsaved, uploaded } from './uploads.ts'
import type { Uploads } from './uploads.ts'

export interface Session {
  readonly phase: 'offline' | 'greeting' | 'answered'
  /** The grant allows writing: else edits stay here. */
  readonly writes: boolean
  /** The server's state has arrived on this link. */
  readonly synced: boolean
  readonly uploads: Uploads
}

export type SessionEvent =
  /** A link takes messages from now on. */
  | { readonly type: 'linked'; readonly writes: boolean }
  | { readonly type: 'unlinked' }
  | { readonly type: 'received'; readonly frame: Uint8Array }
  /** The document was edited here. */
  | { readonly type: 'edited'; readonly update: Bytes }
  /** Our awareness has changed. */
  | { readonly type: 'announced'; readonly body: Bytes }

export type SessionEffect =
  | { readonly type: 'send'; readonly message: Sent }
  /** Send our step1: ask for what is missing here. */
  | { readonly type: 'ask' }
  /** Send a step2 with all that is missing by this state vector; with nothing where `writes` is false. */
  | { readonly type: 'answer'; readonly vector: Bytes; readonly writes: boolean }
  /** Send the awareness of this client again. */
  | { readonly type: 'announce' }
  | { readonly type: 'apply'; readonly update: Bytes }
  | { readonly type: 'meet'; readonly awareness: Bytes }
  | { readonly type: 'synced'; readonly state: boolean }
  | { readonly type: 'unsaved'; readonly count: number }
  /** The server does not allow something; the link stays. */
  | { readonly type: 'denied'; readonly reason: string }
  /** The link is of no use: what comes over it cannot be read. */
  | { readonly type: 'failed'; readonly failure: Failure }

type Step = readonly [Session, readonly SessionEffect[]]

export const OFFLINE: Session = { phase: 'offline', writes: true, synced: false, uploads: NO_UPLOADS }

export function step(session: Session, event: SessionEvent): Step {
  const [next, effects] = advance(session, event)
  const told: SessionEffect[] = []
  if (next.synced !== session.synced) told.push({ type: 'synced', state: next.synced })
  const count = unsaved(next.uploads)
  if (count !== unsaved(session.uploads)) told.push({ type: 'unsaved', count })
  return [next, [...effects, ...told]]
}

function advance(session: Session, event: SessionEvent): Step {
  switch (event.type) {
    case 'linked':
      return [
        { ...offline(session), phase: 'greeting', writes: event.writes },
        [{ type: 'ask' }, { type: 'announce' }],
      ]
    case 'unlinked':
      return [offline(session), []]
    case 'received':
      return session.phase === 'offline' ? [session, []] : receive(session, event.frame)
    case 'edited':
      return edit({ ...session, uploads: edited(session.uploads) }, event.update)
    case 'announced': {
      const message: Sent = { type: 'awareness', body: event.body }
      return [session, session.phase === 'offline' ? [] : [{ type: 'send', message }]]
    }
  }
}

function offline(session: Session): Session {
  return { ...session, phase: 'offline', synced: false, uploads: relinked(session.uploads) }
}

function edit(session: Session, update: Bytes): Step {
  if (session.phase !== 'answered' || !session.writes) return [session, []]
  const message: Sent = { type: 'update', body: update }
  return [{ ...session, uploads: uploaded(session.uploads) }, [{ type: 'send', message }]]
}

function receive(session: Session, frame: Uint8Array): Step {
  let message: Message | null
  try {
    message = decode(frame)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return [offline(session), [{ type: 'failed', failure: nonsense(`a message, ${error.message}`) }]]
  }
  return message ? take(session, message) : [session, []] // types that are not known yet are for newer clients
}

function take(session: Session, message: Message): Step {
  switch (message.type) {
    case 'step1':
      return answer(session, message.body)
    case 'step2':
    case 'update':
      return [{ ...session, synced: session.synced || message.type === 'step2' }, [{ type: 'apply', update: message.body }]]
    case 'awareness':
      return [session, [{ type: 'meet', awareness: message.body }]]
    case 'query':
      return [session, [{ type: 'announce' }]]
    case 'denied':
      return [session, [{ type: 'denied', reason: message.reason }]]
    case 'acknowledged':
      return [{ ...session, uploads: acknowledged(session.uploads, message.count) }, []]
  }
}

/** A reader's empty answer is an upload that stands for no edit: it is counted on the wire, and saves nothing. */
function answer(session: Session, vector: Bytes): Step {
  const { writes, uploads } = session
  const counted = writes ? uploaded(uploads) : { ...uploads, waiting: [...uploads.waiting, uploads.saved] }
  return [{ ...session, phase: 'answered', uploads: counted }, [{ type: 'answer', vector, writes }]]
}
