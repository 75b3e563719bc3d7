/** A Y.Doc and its awareness, kept in step with a document of a cowrite server. */
import { Awareness } from 'y-protocols/awareness'
import type { Doc } from 'yjs'
import type { User } from './admission.ts'
import { Connection } from './connection.ts'
import type { Bytes } from './core/bytes.ts'
import { CLOSE_CODES } from './core/codes.ts'
import type { Kind, State } from './core/policy.ts'
import { Emitter } from './events.ts'
import { yjsPolling } from './links/polling.ts'
import { yjsSocket } from './links/websocket.ts'
import { serverOf } from './place.ts'
import type { ServerOptions } from './place.ts'
import { Moment, Refused } from './promises.ts'
import { YjsReplica } from './replica.ts'
import type { Origin } from './replica.ts'
import { errorEvent, statusOf, tellChange, transportOf } from './status.ts'
import type { ConnectionEvents, Status } from './status.ts'
import { Sync } from './sync.ts'
import { Tabs } from './tabs.ts'

export interface CowriteProviderOptions extends ServerOptions {
  readonly document: Doc
  /** One of one's own, or null for none. Without it one is made, and goes with the provider. */
  readonly awareness?: Awareness | null
  /** False: tabs of one browser meet at the server only. */
  readonly broadcast?: boolean
}

export interface CowriteProviderEvents extends ConnectionEvents {
  /** `state`: everything that the server had has arrived; false when the connection is gone. */
  readonly synced: { readonly state: boolean }
  /** So many edits of this document are not known to be on the server's disk. */
  readonly unsyncedChanges: { readonly number: number }
}

export class CowriteProvider extends Emitter<CowriteProviderEvents> {
  readonly document: Doc
  readonly awareness: Awareness | null
  readonly name: string
  readonly #connection: Connection<Bytes>
  readonly #replica: YjsReplica
  readonly #sync: Sync
  readonly #ownsAwareness: boolean
  readonly #fromServer: Origin = { from: 'server', provider: this }
  readonly #fromTab: Origin = { from: 'tab', provider: this }
  readonly #synced = new Moment()
  readonly #saved = new Moment()
  /** The name under which tabs meet. */
  readonly #channel: string | null
  #tabs: Tabs | null = null
  #destroyed = false

  constructor(options: CowriteProviderOptions) {
    super()
    const server = serverOf(options)
    this.name = options.name
    this.document = options.document
    this.#ownsAwareness = options.awareness === undefined
    this.awareness = options.awareness === undefined ? new Awareness(options.document) : options.awareness
    this.#replica = new YjsReplica(this.document, this.awareness)
    const shared = options.broadcast !== false && typeof globalThis.BroadcastChannel === 'function'
    this.#channel = shared ? `cowrite ${server.api} ${this.name}` : null
    this.#sync = new Sync(this.#replica, this.#fromServer, {
      send: (frame) => this.#connection.send(frame),
      fail: (failure) => this.#connection.fail(failure),
      refreshFailed: (failure) => this.emit('error', errorEvent(failure)),
      changed: (state, before) => this.#changed(state, before),
      synced: (state) => this.#tellSynced(state),
      unsaved: (number) => this.#tellUnsaved(number),
      error: (event) => this.emit('error', event),
    })
    const links = { websocket: yjsSocket, polling: yjsPolling }
    this.#connection = new Connection({ ...server, links, serverSpeaksFirst: true }, this.#sync)
    this.document.on('update', this.#onUpdate)
    this.document.on('destroy', this.#onDestroy)
    this.awareness?.on('update', this.#onAwareness)
    if (options.connect !== false) this.connect()
  }

  get status(): Status {
    return statusOf(this.#connection.state)
  }

  /** What is connected by; null while nothing is. */
  get transport(): Kind | null {
    return transportOf(this.#connection.state)
  }

  get isSynced(): boolean {
    return this.#sync.synced
  }

  get unsyncedChanges(): number {
    return this.#sync.unsaved
  }

  /** Whether there are edits here that are not known to be on the server's disk. */
  get hasUnsyncedChanges(): boolean {
    return this.unsyncedChanges > 0
  }

  /** Who the server takes the user for; null before it has said so. */
  get user(): User | null {
    return this.#connection.ticket?.user ?? null
  }

  /** The grant does not allow writing: edits stay here. */
  get readOnly(): boolean {
    return !this.#sync.writes
  }

  /** Connects, and again after every loss, until `disconnect()` or until the server says not to come back. Idempotent. */
  connect(): void {
    if (this.#destroyed) return
    if (this.#channel !== null) this.#tabs ??= this.#meetTabs(this.#channel)
    this.#connection.connect()
  }

  /** Ends the session. Edits are kept, and sent after the next `connect()`. Idempotent. */
  disconnect(): void {
    this.#tabs?.close()
    this.#tabs = null
    this.#connection.disconnect()
    this.#replica.forgetOthers(this.#fromServer)
  }

  /** Disconnects for good, and lets go of the document. Unsaved edits stay in it; `whenSaved()` first where they matter. */
  destroy(): void {
    if (this.#destroyed) return
    this.#destroyed = true
    this.#replica.vanish()
    this.disconnect()
    this.document.off('update', this.#onUpdate)
    this.document.off('destroy', this.#onDestroy)
    this.awareness?.off('update', this.#onAwareness)
    if (this.#ownsAwareness) this.awareness?.destroy()
    this.#giveUp(new Refused(CLOSE_CODES.normal, 'the provider was destroyed'))
  }

  /** Fulfilled when the server's state has arrived. Rejected with `Refused` when it never will. */
  whenSynced(): Promise<void> {
    return this.#synced.wait(this.isSynced, this.#refused())
  }

  /** Fulfilled when every edit of this document is on the server's disk. Rejected with `Refused` when it never will be. */
  whenSaved(): Promise<void> {
    return this.#saved.wait(!this.hasUnsyncedChanges, this.#refused())
  }

  // ---- what happens

  readonly #onUpdate = (update: Uint8Array, origin: unknown): void => {
    if (origin === this.#fromServer) return
    // Edits of another tab are sent by this one, too: that tab may be closed before it has sent them.
    if (origin !== this.#fromTab) this.#tabs?.tell('update', update as Bytes)
    this.#sync.edited(update as Bytes)
  }

  readonly #onAwareness = (changes: { added: number[]; updated: number[]; removed: number[] }, origin: unknown): void => {
    const changed = [...changes.added, ...changes.updated, ...changes.removed]
    const body = origin !== this.#fromTab && changed.includes(this.document.clientID) ? this.#replica.own() : null
    if (!body) return
    this.#tabs?.tell('awareness', body)
    this.#sync.announced(body)
  }

  readonly #onDestroy = (): void => this.destroy()

  #changed(state: State, before: State): void {
    if (statusOf(state) === 'disconnected') this.#replica.forgetOthers(this.#fromServer)
    tellChange((name, event) => this.emit(name, event as CowriteProviderEvents[typeof name]), state, before)
    if (state.name === 'closed') this.#giveUp(new Refused(state.failure.code, state.failure.reason))
  }

  #tellSynced(state: boolean): void {
    this.emit('synced', { state })
    if (state) this.#synced.come()
  }

  #tellUnsaved(number: number): void {
    this.emit('unsyncedChanges', { number })
    if (number === 0) this.#saved.come()
  }

  #meetTabs(channel: string): Tabs {
    const replica = this.#replica
    return new Tabs(channel, {
      vector: () => replica.vector(),
      missing: (vector) => replica.missing(vector),
      awareness: () => replica.own(),
      apply: (update) => replica.apply(update, this.#fromTab),
      meet: (awareness) => replica.meet(awareness, this.#fromTab),
    })
  }

  #refused(): Refused | null {
    const { state } = this.#connection
    if (this.#destroyed) return new Refused(CLOSE_CODES.normal, 'the provider was destroyed')
    return state.name === 'closed' ? new Refused(state.failure.code, state.failure.reason) : null
  }

  #giveUp(error: Refused): void {
    this.#synced.fail(error)
    this.#saved.fail(error)
  }
}
