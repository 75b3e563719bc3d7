/** Runs the session of one document: what it decides is done to the replica, and sent. */
import type { Ticket } from './admission.ts'
import type { Speaker } from './connection.ts'
import type { Bytes } from './core/bytes.ts'
import { CLOSE_CODES, nonsense } from './core/codes.ts'
import type { Failure } from './core/codes.ts'
import { encode } from './core/messages.ts'
import type { Sent } from './core/messages.ts'
import type { State } from './core/policy.ts'
import { OFFLINE, step } from './core/session.ts'
import type { Session, SessionEffect, SessionEvent } from './core/session.ts'
import { edited, unsaved } from './core/uploads.ts'
import { NOTHING, Unreadable } from './replica.ts'
import type { Origin, YjsReplica } from './replica.ts'
import { oneByOne } from './serial.ts'
import { applicationError, errorEvent } from './status.ts'
import type { ErrorEvent } from './status.ts'

export interface Surroundings {
  send(frame: Bytes): void
  /** What comes over the link is of no use. */
  fail(failure: Failure): void
  changed(state: State, before: State): void
  synced(state: boolean): void
  unsaved(count: number): void
  error(event: ErrorEvent): void
}

export class Sync implements Speaker<Bytes> {
  readonly #replica: YjsReplica
  readonly #origin: Origin
  readonly #around: Surroundings
  /** An observer of the document may edit it, while what it observes is still being taken. */
  readonly #step = oneByOne<SessionEvent>((event) => this.#take(event))
  #session: Session = OFFLINE

  constructor(replica: YjsReplica, origin: Origin, around: Surroundings) {
    this.#replica = replica
    this.#origin = origin
    this.#around = around
    // What is in the document already may be nowhere else.
    if (replica.vector().length > 1) this.#session = { ...OFFLINE, uploads: edited(OFFLINE.uploads) }
  }

  get synced(): boolean {
    return this.#session.synced
  }

  get writes(): boolean {
    return this.#session.writes
  }

  get unsaved(): number {
    return unsaved(this.#session.uploads)
  }

  edited(update: Bytes): void {
    this.#step({ type: 'edited', update })
  }

  announced(body: Bytes): void {
    this.#step({ type: 'announced', body })
  }

  // ---- Speaker

  linked(ticket: Ticket): void {
    this.#step({ type: 'linked', writes: ticket.grant === 'write' || ticket.grant === 'admin' })
  }

  unlinked(): void {
    this.#step({ type: 'unlinked' })
  }

  received(frame: Bytes): void {
    this.#step({ type: 'received', frame })
  }

  due(): boolean {
    return this.#session.uploads.waiting.length > 0 || !this.#session.synced
  }

  ask(): void {
    this.#send({ type: 'step1', body: this.#replica.vector() })
  }

  changed(state: State, before: State): void {
    this.#around.changed(state, before)
  }

  failed(failure: Failure): void {
    this.#around.error(errorEvent(failure))
  }

  // ---- inside

  #take(event: SessionEvent): void {
    const [session, effects] = step(this.#session, event)
    this.#session = session
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: SessionEffect): void {
    switch (effect.type) {
      case 'greet':
        this.#send({ type: 'step1', body: this.#replica.vector() })
        this.#announce()
        break
      case 'announce':
        this.#announce()
        break
      case 'send':
        this.#send(effect.message)
        break
      case 'answer':
        this.#read(() => this.#send({ type: 'step2', body: effect.writes ? this.#replica.missing(effect.vector) : NOTHING }))
        break
      case 'apply':
        this.#read(() => this.#replica.apply(effect.update, this.#origin))
        break
      case 'meet':
        this.#read(() => this.#replica.meet(effect.awareness, this.#origin))
        break
      case 'synced':
        this.#around.synced(effect.state)
        break
      case 'unsaved':
        this.#around.unsaved(effect.count)
        break
      case 'denied':
        this.#around.error({ kind: 'denied', code: CLOSE_CODES.forbidden, name: 'denied', message: effect.reason })
        break
      case 'failed':
        this.#around.fail(effect.failure)
        break
    }
  }

  #send(message: Sent): void {
    this.#around.send(encode(message))
  }

  #announce(): void {
    const body = this.#replica.renewed()
    if (body) this.#send({ type: 'awareness', body })
  }

  /** What cannot be read is the server's fault; what an observer of the document throws is the page's, and the link goes on. */
  #read(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (error instanceof Unreadable) this.#around.fail(nonsense(error.message))
      else this.#around.error(applicationError(error))
    }
  }
}
