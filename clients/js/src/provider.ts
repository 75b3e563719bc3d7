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
import { transportOf } from './status.ts'
import { Sync } from './sync.ts'
import { Tabs } from './tabs.ts'

export interface CowriteProviderOptions<A extends Awareness | null = Awareness | null> extends ServerOptions {
  readonly document: Doc
  /** One of one's own, or null for none. Without it one is made, and goes with the provider. */
  readonly awareness?: A | undefined
  /** False: tabs of one browser meet at the server only. */
  readonly broadcast?: boolean | undefined
}

export type CowriteProviderEvents = ClientEvents

/** `A`: null where the option `awareness` is. */
export class CowriteProvider<A extends Awareness | null = Awareness> extends Client<Bytes, CowriteProviderEvents> {
  /** @internal */
  readonly connection: Connection<Bytes>
  readonly document: Doc
  readonly awareness: A
  readonly #replica: YjsReplica
  readonly #sync: Sync
  readonly #ownsAwareness: boolean
  readonly #fromServer: Origin = { from: 'server', provider: this }
  readonly #fromTab: Origin = { from: 'tab', provider: this }
  /** The name under which tabs meet. */
  readonly #channel: string | null
  #tabs: Tabs | null = null

  constructor(options: CowriteProviderOptions<A>) {
    super(options.name)
    const server = serverOf(options)
    const { document, awareness = new Awareness(document) as A } = options
    this.document = document
    this.awareness = awareness
    this.#ownsAwareness = options.awareness === undefined
    this.#replica = new YjsReplica(document, awareness)
    const shared = options.broadcast !== false && 'BroadcastChannel' in globalThis
    this.#channel = shared ? `cowrite ${server.api} ${this.name}` : null
    this.#sync = new Sync(this.#replica, this.#fromServer, this)
    const links = { websocket: yjsSocket, polling: yjsPolling }
    this.connection = new Connection({ ...server, links, serverSpeaksFirst: true }, this.#sync, this)
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

  override connect(): void {
    if (this.destroyed) return
    if (this.#channel !== null) this.#tabs ??= new Tabs(this.#channel, this.#replica, this.#fromTab, this)
    super.connect()
  }

  override disconnect(): void {
    this.#tabs?.close()
    this.#tabs = null
    super.disconnect()
    this.#forgetOthers()
  }

  /** Disconnects for good, and lets go of the document. Unsaved edits stay in it. */
  override destroy(): void {
    if (this.destroyed) return
    this.#announce(this.#replica.own(new Map())) // it is gone, and the awareness may go on being somebody else's
    super.destroy()
    this.document.off('update', this.#onUpdate)
    this.document.off('destroy', this.#onDestroy)
    this.awareness?.off('update', this.#onAwareness)
    if (this.#ownsAwareness) this.awareness?.destroy()
  }

  // ---- what happens

  readonly #onUpdate = (update: Uint8Array, origin: unknown): void => {
    const fromTab = origin === this.#fromTab
    // A reader's edits stay here: another tab may be of somebody who writes. And what came from there is there to be saved.
    if (origin === this.#fromServer || (fromTab && this.readOnly)) return
    // Edits of another tab are sent by this one, too: that tab may be closed before it has sent them.
    if (!fromTab && !this.readOnly) this.#tabs?.tell('update', update as Bytes)
    this.#sync.edited(update as Bytes)
  }

  readonly #onAwareness = (changes: { added: number[]; updated: number[]; removed: number[] }, origin: unknown): void => {
    const changed = [...changes.added, ...changes.updated, ...changes.removed]
    if (origin !== this.#fromTab && changed.includes(this.document.clientID)) this.#announce(this.#replica.own())
  }

  #announce(body: Bytes | null): void {
    if (!body) return
    this.#tabs?.tell('awareness', body)
    this.#sync.announced(body)
  }

  #forgetOthers(): void {
    this.guard(() => this.#replica.forgetOthers(this.#fromServer))
  }

  readonly #onDestroy = (): void => this.destroy()

  /** @internal */
  override changed(state: State, before: State): void {
    if (transportOf(before) && !transportOf(state)) {
      this.#forgetOthers()
      this.#tabs?.ask() // those in other tabs are still there
    }
    super.changed(state, before)
  }
}
