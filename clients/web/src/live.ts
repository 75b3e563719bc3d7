/**
 * A document that is connected: a Y.Doc, the stock y-websocket provider, and what the page may truthfully say about them.
 *
 * The provider is not modified. It is given a WebSocket class that polls where WebSockets are blocked and tells of the uploads
 * that it sends, and a handler for message 100.
 */
import { WebsocketProvider } from 'y-websocket'
import type { Awareness } from 'y-protocols/awareness'
import { Doc } from 'yjs'
import { roomPath } from './address.ts'
import { ACK_PROTOCOL, ACKNOWLEDGED, readAcknowledgement, uploadIn } from './frames.ts'
import type { Upload } from './frames.ts'
import { checkedStates } from './people.ts'
import type { CaretState } from './people.ts'
import { advance, savedState, START } from './saved.ts'
import type { Progress, ProgressEvent, SavedState } from './saved.ts'
import { choosingSocket } from './transport/choosing.ts'
import type { Network } from './transport/network.ts'

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
  readonly offset: number
  /** Set when `link` is 'refused'. */
  readonly refusal: Refusal | null
}

export class LiveDocument {
  readonly doc: Doc = new Doc()
  readonly awareness: Awareness
  /** The same for editors. */
  readonly carets: CaretAwareness
  readonly #provider: WebsocketProvider
  readonly #listeners = new Set<() => void>()
  #progress: Progress = START
  #polls = false
  #lost = false
  #refusal: Refusal | null = null

  /** Connects at once, and again after every loss of the connection until `leave()` or a refusal. */
  constructor(serverUrl: string, id: string, network: Network) {
    // Before the provider exists, so that an edit is noted before the message that carries it.
    this.doc.on('update', (_update: Uint8Array, origin: unknown) => {
      if (origin !== this.#provider) this.#note({ type: 'edited' })
    })
    this.#provider = new WebsocketProvider(serverUrl, roomPath(id), this.doc, {
      connect: false,
      protocols: [ACK_PROTOCOL],
      WebSocketPolyfill: choosingSocket(network, {
        opened: (by) => (this.#polls = by === 'polling'),
        sent: (message) => this.#noteUpload(uploadIn(message)),
      }),
      // Windows of one browser meet at the server like all others: "Saved" then means the same in each.
      disableBc: true,
    })
    this.awareness = this.#provider.awareness
    this.carets = checkedAwareness(this.awareness)
    this.#follow(this.#provider)
    this.#provider.connect()
  }

  get status(): Status {
    return { link: this.#link(), saved: savedState(this.#progress), offset: this.#progress.offset, refusal: this.#refusal }
  }

  /** Calls `listener` after every change of `status`. */
  onStatus(listener: () => void): void {
    this.#listeners.add(listener)
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

  /** Says goodbye, so that the others see it at once, and disconnects. */
  leave(): void {
    this.awareness.setLocalState(null)
    this.#provider.disconnect()
  }

  #follow(provider: WebsocketProvider): void {
    provider.messageHandlers[ACKNOWLEDGED] = (_encoder, decoder) => {
      this.#note({ type: 'acknowledged', ...readAcknowledgement(decoder) })
    }
    provider.on('status', ({ status }) => {
      if (status === 'connected') this.#note({ type: 'opened' })
    })
    provider.on('sync', (synced) => {
      if (synced) this.#note({ type: 'synced' })
    })
    provider.on('connection-close', () => {
      this.#lost = true
      this.#note({ type: 'closed' })
    })
    provider.on('closed', ({ code, reason }) => {
      this.#refusal = { code, reason }
      this.#changed()
    })
  }

  #link(): Link {
    if (this.#refusal) return 'refused'
    if (this.#progress.synced) return this.#polls ? 'slow' : 'live'
    return this.#lost ? 'offline' : 'connecting'
  }

  #noteUpload(upload: Upload | null): void {
    if (upload) this.#note({ type: 'sent', upload })
  }

  #note(event: ProgressEvent): void {
    this.#progress = advance(this.#progress, event)
    this.#changed()
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
