/** A document that is connected: a Y.Doc, the provider of `@cowrite/client`, and what the page may truthfully say about them. */
import { CowriteProvider } from '@cowrite/client'
import { Awareness } from 'y-protocols/awareness'
import { Doc } from 'yjs'
import { guestToken } from './identity.ts'
import { checkedStates } from './people.ts'
import type { CaretState } from './people.ts'
import { LATE_MS, savedState, troubleIn } from './saved.ts'
import type { SavedState } from './saved.ts'

/**
 * connecting: for the first time · live · slow: live by polling, as WebSockets do not get through · offline: tries again by
 * itself · refused: the server said not to come back.
 */
export type Link = 'connecting' | 'live' | 'slow' | 'offline' | 'refused'

export interface Refusal {
  readonly code: number
  readonly reason: string
}

export interface Status {
  readonly link: Link
  readonly saved: SavedState
  /** Why nothing can be written, or not be stored now; null: all is well, as far as is known. */
  readonly trouble: string | null
  /** Nothing can be written into it now. */
  readonly locked: boolean
  /** Set when `link` is 'refused'. */
  readonly refusal: Refusal | null
}

export class LiveDocument {
  readonly doc: Doc = new Doc()
  readonly awareness: Awareness = new Awareness(this.doc)
  /** The same for editors. */
  readonly carets: CaretAwareness = checkedAwareness(this.awareness)
  readonly #provider: CowriteProvider
  readonly #listeners = new Set<() => void>()
  /** The server's state has arrived since there is a connection. While one kind of it gives way to the other, that stays so. */
  #greeted = false
  #lost = false
  #refusal: Refusal | null = null
  /** Why the server does not take what was written over this connection. */
  #denied: string | null = null
  /** An acknowledgement has been due for long. */
  #late = false
  #due: number | undefined
  #unsaved = 0
  #author: string

  /**
   * Connects at once, and again after every loss of the connection until `leave()` or a refusal. What is written is the
   * work of `author` in the history.
   */
  constructor(url: string, id: string, author: string) {
    this.#author = author
    this.#provider = new CowriteProvider({
      url,
      name: id,
      document: this.doc,
      awareness: this.awareness,
      token: () => guestToken(this.#author),
      connect: false,
      // Windows of one browser meet at the server like all others: "Saved" then means the same in each.
      broadcast: false,
    })
    this.#follow(this.#provider)
    this.#provider.connect()
  }

  get status(): Status {
    const { status, isSynced, unsyncedChanges, readOnly, damaged } = this.#provider
    const taken = !readOnly && this.#denied === null
    const saved = savedState({ connected: status === 'connected', synced: isSynced, unsynced: unsyncedChanges, taken })
    const trouble = this.#refusal ? null : troubleIn({ damaged, denied: this.#denied, late: this.#late })
    return { link: this.#link(), saved, trouble, locked: damaged || this.#refusal !== null, refusal: this.#refusal }
  }

  /** Nothing was ever written, or what was is on its way still: the server may know of no such document. */
  get isUnwritten(): boolean {
    return this.doc.store.clients.size === 0 || this.status.saved === 'saving'
  }

  /** Calls `listener` after every change of `status`; returns a function that ends that. */
  onStatus(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Calls `listener` with the names of the others who have just written something or moved their caret. */
  onActivity(listener: (names: ReadonlySet<string>) => void): void {
    const tell = (clients: readonly number[]): void => {
      const states = this.carets.getStates()
      const names = clients.filter((client) => client !== this.doc.clientID).map((client) => states.get(client)?.user.name)
      listener(new Set(names.filter((name) => name !== undefined)))
    }
    // Who types at the end of the text has the same caret all the time: behind the last letter. (Who only deletes, and whose
    // caret stays before the same letter, is not heard of: Yjs does not say who deleted.)
    this.doc.on('afterTransaction', ({ beforeState, afterState }) => {
      tell(Array.from(afterState.keys()).filter((client) => afterState.get(client) !== beforeState.get(client)))
    })
    this.awareness.on('change', ({ updated }: { updated: number[] }) => tell(updated))
  }

  /** Calls `listener` after every change of the document, whoever made it; returns a function that ends that. */
  onEdit(listener: () => void): () => void {
    this.doc.on('update', listener)
    return () => this.doc.off('update', listener)
  }

  /** From now on one writes under another name: connects anew. */
  rename(author: string): void {
    if (author === this.#author) return
    this.#author = author
    if (this.#refusal) return
    this.#provider.disconnect()
    this.#lost = false // one went by oneself
    this.#provider.connect()
  }

  /** Says goodbye, so that the others see it at once, and disconnects. */
  leave(): void {
    this.awareness.setLocalState(null)
    this.#provider.disconnect()
  }

  #follow(provider: CowriteProvider): void {
    provider.on('status', ({ status, code, reason, final }) => {
      if (status !== 'connected') {
        this.#greeted = false
        this.#denied = null
      }
      this.#await(false)
      if (status === 'disconnected') this.#lost = true
      if (final && code !== undefined) this.#refusal = { code, reason: reason ?? '' }
      this.#changed()
    })
    provider.on('synced', ({ state }) => {
      this.#greeted ||= state
      this.#changed()
    })
    provider.on('transport', () => this.#changed())
    provider.on('unsyncedChanges', ({ number }) => {
      // Each of these tells of an edit or of an acknowledgement; only the second means that the server stores.
      this.#await(number < this.#unsaved)
      this.#unsaved = number
      if (number === 0) this.#denied = null
      this.#changed()
    })
    provider.on('error', ({ kind, message }) => {
      if (kind !== 'denied') return
      this.#denied = message
      this.#await(false)
      this.#changed()
    })
  }

  /** Waits for acknowledgements, as long as some are due; `came`: there was one. */
  #await(came: boolean): void {
    const { status, unsyncedChanges, readOnly } = this.#provider
    const due = status === 'connected' && unsyncedChanges > 0 && !readOnly && this.#denied === null
    if (due && !came && this.#due !== undefined) return
    window.clearTimeout(this.#due)
    this.#due = undefined
    this.#late = false
    if (!due) return
    this.#due = window.setTimeout(() => {
      this.#late = true
      this.#changed()
    }, LATE_MS)
  }

  #link(): Link {
    if (this.#refusal) return 'refused'
    if (this.#greeted) return this.#provider.transport === 'polling' ? 'slow' : 'live'
    return this.#lost ? 'offline' : 'connecting'
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** What the editors' caret plugins use of an awareness. */
export type CaretAwareness = Pick<Awareness, 'doc' | 'clientID' | 'on' | 'off' | 'getLocalState' | 'setLocalStateField'> & {
  readonly states: Map<number, CaretState>
  getStates(): Map<number, CaretState>
}

/**
 * `awareness` for the caret plugins: what the other clients announced is checked before they see it. The plugins trust it
 * otherwise: a colour goes into a style attribute as it is, and a caret that is none makes them throw.
 */
function checkedAwareness(awareness: Awareness): CaretAwareness {
  const getStates = (): Map<number, CaretState> => checkedStates(awareness.getStates())
  return {
    doc: awareness.doc,
    clientID: awareness.clientID,
    on: awareness.on.bind(awareness),
    off: awareness.off.bind(awareness),
    getLocalState: () => awareness.getLocalState(),
    setLocalStateField: (name, value) => awareness.setLocalStateField(name, value),
    getStates,
    get states() {
      return getStates()
    },
  }
}
