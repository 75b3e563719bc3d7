/** What both clients have in common: one connection, and what is told about it. */
import type { Connection } from './connection.ts'
import { CLOSE_CODES } from './core/codes.ts'
import type { Kind, State } from './core/policy.ts'
import { Emitter } from './events.ts'
import { Moment, Refused } from './promises.ts'
import { statusOf, tellChange, transportOf } from './status.ts'
import type { ConnectionEvents, Status } from './status.ts'

export interface ClientEvents extends ConnectionEvents {
  /** `state`: everything that the server had has arrived; false when the connection is gone. */
  readonly synced: { readonly state: boolean }
  /** So many edits, or submissions, are not known to be on the server's disk. */
  readonly unsyncedChanges: { readonly number: number }
}

export abstract class Client<M, E extends ClientEvents> extends Emitter<E> {
  /** The document's id. */
  readonly name: string
  protected abstract readonly connection: Connection<M>
  protected destroyed = false
  readonly #synced = new Moment()
  readonly #saved = new Moment()

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
    this.#giveUp()
  }

  /** Fulfilled when everything that the server had has arrived. Rejected with `Refused` when it never will. */
  whenSynced(): Promise<void> {
    return this.#synced.wait(this.isSynced, this.refusal())
  }

  /** Fulfilled when nothing is unsaved. Rejected with `Refused` when that never will be. */
  whenSaved(): Promise<void> {
    return this.#saved.wait(!this.hasUnsyncedChanges, this.refusal())
  }

  /** Why nothing more will come of it; null while something may. */
  protected refusal(): Refused | null {
    const { state } = this.connection
    if (this.destroyed) return new Refused(CLOSE_CODES.normal, 'the client was destroyed')
    return state.name === 'closed' ? new Refused(state.failure.code, state.failure.reason) : null
  }

  protected changed(state: State, before: State): void {
    tellChange((name, event) => this.emit(name, event as E[typeof name]), state, before)
    if (state.name === 'closed') this.#giveUp()
  }

  protected tellSynced(state: boolean): void {
    this.emit('synced', { state } as E['synced'])
    if (state) this.#synced.come()
  }

  protected tellUnsaved(number: number): void {
    this.emit('unsyncedChanges', { number } as E['unsyncedChanges'])
    if (number === 0) this.#saved.come()
  }

  #giveUp(): void {
    const error = this.refusal()
    if (!error) return
    this.#synced.fail(error)
    this.#saved.fail(error)
  }
}
