/** Runs the session of one document: what it decides is done to the replica, and sent. */
import type { Connection, Speaker } from './connection.ts'
import type { Bytes } from './core/bytes.ts'
import { CLOSE_CODES, nonsense } from './core/codes.ts'
import { encode } from './core/messages.ts'
import type { Sent } from './core/messages.ts'
import { OFFLINE, step } from './core/session.ts'
import type { Session, SessionEffect, SessionEvent } from './core/session.ts'
import { edited, unsaved } from './core/uploads.ts'
import { NOTHING, Unreadable } from './replica.ts'
import type { Origin, YjsReplica } from './replica.ts'
import { oneByOne } from './serial.ts'
import { applicationError } from './status.ts'
import type { ErrorEvent } from './status.ts'

/** The provider. */
export interface Surroundings {
  readonly connection: Pick<Connection<Bytes>, 'send' | 'fail'>
  readonly readOnly: boolean
  tellSynced(state: boolean): void
  tellUnsaved(count: number): void
  emit(name: 'error', event: ErrorEvent): void
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

  linked(): void {
    this.#step({ type: 'linked', writes: !this.#around.readOnly })
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

  // ---- inside

  #take(event: SessionEvent): void {
    const [session, effects] = step(this.#session, event)
    this.#session = session
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: SessionEffect): void {
    switch (effect.type) {
      case 'ask':
        this.ask()
        break
      case 'announce': {
        const body = this.#replica.renewed()
        if (body) this.#send({ type: 'awareness', body })
        break
      }
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
        this.#around.tellSynced(effect.state)
        break
      case 'unsaved':
        this.#around.tellUnsaved(effect.count)
        break
      case 'denied':
        this.#around.emit('error', { kind: 'denied', code: CLOSE_CODES.forbidden, name: 'denied', message: effect.reason })
        break
      case 'failed':
        this.#around.connection.fail(effect.failure)
        break
    }
  }

  #send(message: Sent): void {
    this.#around.connection.send(encode(message))
  }

  /** What cannot be read is the server's fault; what an observer of the document throws is the page's, and the link goes on. */
  #read(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (error instanceof Unreadable) this.#around.connection.fail(nonsense(error.message))
      else this.#around.emit('error', applicationError(error))
    }
  }
}
