/** What both clients have in common: one connection, and what is told about it. */
import type { Ticket } from './admission.ts'
import type { Connection } from './connection.ts'
import { CLOSE_CODES } from './core/codes.ts'
import type { Failure } from './core/codes.ts'
import type { Kind, State } from './core/policy.ts'
import { Emitter } from './events.ts'
import { Moment, Refused } from './promises.ts'
import { errorEvent, statusOf, tellChange, transportOf } from './status.ts'
import type { ConnectionEvents, Status, Teller } from './status.ts'

export interface ClientEvents extends ConnectionEvents {
  /** `state`: everything that the server had has arrived; false when the connection is gone. */
  readonly synced: { readonly state: boolean }
  /** So many edits, or submissions, are not known to be on the server's disk. */
  readonly unsyncedChanges: { readonly number: number }
}

export abstract class Client<M, E extends ClientEvents> extends Emitter<E> {
  /** The document's id. */
  readonly name: string
  /** @internal */
  abstract readonly connection: Connection<M>
  protected destroyed = false
  readonly #synced = new Moment()
  readonly #saved = new Moment()
  #readOnly = false
  #damaged = false

  constructor(name: string) {
    super()
    this.name = name
  }

  abstract get isSynced(): boolean

  abstract get unsyncedChanges(): number

  get status(): Status {
    return statusOf(this.connection.state)
  }

  /** What is connected by; null while nothing is. */
  get transport(): Kind | null {
    return transportOf(this.connection.state)
  }

  /** Whether something is not known to be on the server's disk. */
  get hasUnsyncedChanges(): boolean {
    return this.unsyncedChanges > 0
  }

  /** The grant does not allow writing: edits stay here. */
  get readOnly(): boolean {
    return this.#readOnly
  }

  /** The document is damaged in the server's database: until it is mended it is read as far as it can be, and `readOnly` for everybody. */
  get damaged(): boolean {
    return this.#damaged
  }

  /** Connects, and again after every loss, until `disconnect()` or until the server says not to come back. Idempotent. */
  connect(): void {
    if (!this.destroyed) this.connection.connect()
  }

  /** Ends the session. What is not saved is kept, and sent after the next `connect()`. Idempotent. */
  disconnect(): void {
    this.connection.disconnect()
  }

  /** Disconnects for good. `whenSaved()` first where it matters. Idempotent. */
  destroy(): void {
    this.destroyed = true
    this.disconnect()
    this.giveUp(this.refusal() as Refused)
  }

  /** Fulfilled when everything that the server had has arrived. Rejected with `Refused` when it never will. */
  whenSynced(): Promise<void> {
    return this.#synced.wait(this.isSynced, this.refusal())
  }

  /** Fulfilled when nothing is unsaved. Rejected with `Refused` when that never will be: 4403 where the grant does not allow writing. */
  whenSaved(): Promise<void> {
    return this.#saved.wait(!this.hasUnsyncedChanges, this.refusal() ?? (this.#readOnly ? denied() : null))
  }

  /** Why nothing more will come of it; null while something may. */
  protected refusal(): Refused | null {
    const { state } = this.connection
    if (this.destroyed) return new Refused(CLOSE_CODES.normal, 'destroyed')
    return state.name === 'closed' ? new Refused(state.failure.code, state.failure.reason) : null
  }

  /** @internal */
  changed(state: State, before: State): void {
    tellChange(this as unknown as Teller, state, before)
    if (state.name === 'closed') this.giveUp(this.refusal() as Refused)
  }

  /** @internal */
  failed(failure: Failure): void {
    this.emit('error', errorEvent(failure) as E['error'])
  }

  /** @internal A link takes messages, with what this ticket allows. */
  linked({ grant, damaged }: Ticket): void {
    this.#damaged = damaged
    this.#readOnly = grant !== 'write' && grant !== 'admin'
    if (this.#readOnly) this.#saved.fail(denied())
  }

  /** @internal */
  tellSynced(state: boolean): void {
    this.emit('synced', { state } as E['synced'])
    if (state) this.#synced.come()
  }

  /** @internal */
  tellUnsaved(number: number): void {
    this.emit('unsyncedChanges', { number } as E['unsyncedChanges'])
    if (number === 0) this.#saved.come()
  }

  /** Nothing more will come of it. */
  protected giveUp(error: Refused): void {
    this.#synced.fail(error)
    this.#saved.fail(error)
  }
}

function denied(): Refused {
  return new Refused(CLOSE_CODES.forbidden, 'read-only')
}
