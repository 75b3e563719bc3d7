/** A Y.Doc and its awareness, kept in step with a document of a cowrite server. */
import { Awareness } from 'y-protocols/awareness'
import type { Doc } from 'yjs'
import type { User } from './admission.ts'
import { Client } from './client.ts'
import type { ClientEvents } from './client.ts'
import { Connection } from './connection.ts'
import type { Bytes } from './core/bytes.ts'
import type { State } from './core/policy.ts'
import { yjsPolling } from './links/polling.ts'
import { yjsSocket } from './links/websocket.ts'
import { serverOf } from './place.ts'
import type { ServerOptions } from './place.ts'
import { YjsReplica } from './replica.ts'
import type { Origin } from './replica.ts'
import { applicationError, statusOf } from './status.ts'
import { Sync } from './sync.ts'
import { Tabs } from './tabs.ts'

export interface CowriteProviderOptions extends ServerOptions {
  readonly document: Doc
  /** One of one's own, or null for none. Without it one is made, and goes with the provider. */
  readonly awareness?: Awareness | null
  /** False: tabs of one browser meet at the server only. */
  readonly broadcast?: boolean
}

export type CowriteProviderEvents = ClientEvents

export class CowriteProvider extends Client<Bytes, CowriteProviderEvents> {
  protected readonly connection: Connection<Bytes>
  readonly document: Doc
  readonly awareness: Awareness | null
  readonly #replica: YjsReplica
  readonly #sync: Sync
  readonly #ownsAwareness: boolean
  readonly #fromServer: Origin = { from: 'server', provider: this }
  readonly #fromTab: Origin = { from: 'tab', provider: this }
  /** The name under which tabs meet. */
  readonly #channel: string | null
  #tabs: Tabs | null = null

  constructor(options: CowriteProviderOptions) {
    super(options.name)
    const server = serverOf(options)
    const { document, awareness = new Awareness(document) } = options
    this.document = document
    this.awareness = awareness
    this.#ownsAwareness = options.awareness === undefined
    this.#replica = new YjsReplica(document, awareness)
    const shared = options.broadcast !== false && typeof globalThis.BroadcastChannel === 'function'
    this.#channel = shared ? `cowrite ${server.api} ${this.name}` : null
    this.#sync = new Sync(this.#replica, this.#fromServer, {
      send: (frame) => this.connection.send(frame),
      fail: (failure) => this.connection.fail(failure),
      changed: (state, before) => this.changed(state, before),
      synced: (state) => this.tellSynced(state),
      unsaved: (number) => this.tellUnsaved(number),
      error: (event) => this.emit('error', event),
    })
    const links = { websocket: yjsSocket, polling: yjsPolling }
    this.connection = new Connection({ ...server, links, serverSpeaksFirst: true }, this.#sync)
    document.on('update', this.#onUpdate)
    document.on('destroy', this.#onDestroy)
    awareness?.on('update', this.#onAwareness)
    if (options.connect !== false) this.connect()
  }

  override get isSynced(): boolean {
    return this.#sync.synced
  }

  /** So many edits of this document are not known to be on the server's disk. */
  override get unsyncedChanges(): number {
    return this.#sync.unsaved
  }

  /** Who the server takes the user for; null before it has said so. */
  get user(): User | null {
    return this.connection.ticket?.user ?? null
  }

  /** The grant does not allow writing: edits stay here. */
  get readOnly(): boolean {
    return !this.#sync.writes
  }

  override connect(): void {
    if (this.destroyed) return
    if (this.#channel !== null) this.#tabs ??= this.#meetTabs(this.#channel)
    super.connect()
  }

  override disconnect(): void {
    this.#tabs?.close()
    this.#tabs = null
    super.disconnect()
    this.#replica.forgetOthers(this.#fromServer)
  }

  /** Disconnects for good, and lets go of the document. Unsaved edits stay in it. */
  override destroy(): void {
    if (this.destroyed) return
    this.#replica.vanish()
    super.destroy()
    this.document.off('update', this.#onUpdate)
    this.document.off('destroy', this.#onDestroy)
    this.awareness?.off('update', this.#onAwareness)
    if (this.#ownsAwareness) this.awareness?.destroy()
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

  protected override changed(state: State, before: State): void {
    if (statusOf(before) === 'connected' && statusOf(state) !== 'connected') {
      this.#replica.forgetOthers(this.#fromServer)
      this.#tabs?.ask() // those in other tabs are still there
    }
    super.changed(state, before)
  }

  #meetTabs(channel: string): Tabs {
    const replica = this.#replica
    return new Tabs(channel, {
      vector: () => replica.vector(),
      missing: (vector) => replica.missing(vector),
      awareness: () => replica.renewed(),
      apply: (update) => replica.apply(update, this.#fromTab),
      meet: (awareness) => replica.meet(awareness, this.#fromTab),
      failed: (error) => this.emit('error', applicationError(error)),
    })
  }
}
