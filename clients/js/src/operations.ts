/** Editing a document without Yjs: JSON operations, in the order of the log. */
import type { User } from './admission.ts'
import { Client } from './client.ts'
import type { ClientEvents } from './client.ts'
import { Connection } from './connection.ts'
import { advance, unread } from './core/log.ts'
import type { Answer, Draft, Json, Log, LogEffect, LogEvent, Operation, Refusal, ServerMessage } from './core/log.ts'
import { jsonPolling } from './links/json_polling.ts'
import { jsonSocket } from './links/json_socket.ts'
import type { Refused } from './promises.ts'
import { serverOf } from './place.ts'
import type { ServerOptions } from './place.ts'
import { oneByOne } from './serial.ts'

export interface OperationsClientOptions extends ServerOptions {
  /** Go on behind this operation, instead of beginning with the document's state. */
  readonly lastOperation?: string | null | undefined
}

export interface OperationsClientEvents extends ClientEvents {
  /** Committed operations, also one's own: each once, in the order of the log, those of one entry together. */
  readonly operations: { readonly operations: readonly Operation[]; readonly head: string | null; readonly offset: number }
  /** The document is this now, whatever was told before: at the start, and when too much has happened meanwhile. */
  readonly reset: { readonly state: Json; readonly head: string | null; readonly offset: number }
  /** `present`: everybody, by polling each time; or who came and changed (persons, with all their sessions), and the ids of users who left. */
  readonly presence: {
    readonly present?: readonly Person[]
    readonly joined?: readonly Person[]
    readonly updated?: readonly Person[]
    readonly left?: readonly string[]
  }
}

/** What a client tells about itself: 16 KiB at most. */
export interface Presence {
  readonly state?: 'active' | 'idle' | 'away'
  readonly cursor?: Json
  readonly data?: { readonly [key: string]: Json } | null
}

export interface Person {
  readonly user: User
  readonly sessions: readonly (Required<Presence> & {
    readonly session_id: string
    readonly transport: string
    readonly client: Json
    /** In milliseconds of the server's clock. */
    readonly last_active: number
  })[]
}

/** Operations were not taken, and never will be. `code`, `index` and `field` say why, and which. */
export class OperationsRefused extends Error {
  override readonly name: string = 'OperationsRefused'
  declare readonly code: string
  declare readonly index: number | undefined
  declare readonly field: string | undefined

  constructor({ detail, ...place }: Refusal) {
    super(detail)
    Object.assign(this, place)
  }
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

const AGAIN_MS = 2000
/** The server's `update_bytes`, less what is said around operations: more would end the connection. */
const LARGEST_BYTES = (1 << 20) - 4096

export class OperationsClient extends Client<ServerMessage, OperationsClientEvents> {
  /** @internal */
  readonly connection: Connection<ServerMessage>
  readonly #waiting = new Map<number, Waiting>()
  readonly #step = oneByOne<LogEvent>((event) => this.#advance(event))
  #log: Log
  #requests = 0
  #again: ReturnType<typeof setTimeout> | undefined
  #presence: Presence | undefined

  constructor(options: OperationsClientOptions) {
    super(options.name)
    const server = serverOf(options)
    this.#log = unread(options.lastOperation)
    this.connection = new Connection(
      { ...server, links: { websocket: jsonSocket, polling: jsonPolling }, serverSpeaksFirst: false },
      {
        linked: ({ access }) => {
          this.#step({ type: 'linked', access, document: this.name })
        },
        unlinked: () => this.#step({ type: 'unlinked' }),
        received: (message) => this.#step({ type: 'received', message }),
        due: () => this.#log.sent || this.#log.phase === 'greeting',
        ask: () => this.connection.send({ type: 'heartbeat' }),
      },
      this,
    )
    if (options.connect !== false) this.connect()
  }

  /** The last operation that was told; with it a later client goes on from here. Undefined before anything was. */
  get lastOperation(): string | null | undefined {
    return this.#log.head
  }

  override get isSynced(): boolean {
    return this.#log.phase === 'live'
  }

  /** Submissions that have not been answered. */
  override get unsyncedChanges(): number {
    return this.#log.queue.length
  }

  /** Disconnects for good. What was submitted and not answered is rejected; it may have been committed all the same. */
  override destroy(): void {
    clearTimeout(this.#again)
    super.destroy()
  }

  /**
   * Writes operations that were made, one after the other, for the document as it was told so far, with all that was submitted
   * before on top. They are sent again with their ids until they are answered, and applied once. Fulfilled with the operations
   * as committed, after they were told as an event; rejected with `OperationsRefused`, or with `Refused` where the client was
   * destroyed or the server said not to come back (it may have been committed all the same).
   */
  async submit(operations: readonly Draft[]): Promise<Answer> {
    const error = this.refusal()
    if (error) throw error
    const named = operations.map((draft) => ({ ...draft, id: draft.id ?? newId() }))
    const { size } = new Blob([JSON.stringify(named)])
    if (size > LARGEST_BYTES) {
      const detail = `${size} bytes as JSON; at most ${LARGEST_BYTES}`
      throw new OperationsRefused({ code: 'message_too_large', detail })
    }
    const request = ++this.#requests
    const before = this.#log.queue.at(-1)?.operations.at(-1)?.id ?? null
    const submission = { request, operations: named, base: this.#log.head ?? null, after: before }
    const answer = new Promise<Answer>((resolve, reject) => this.#waiting.set(request, { resolve, reject }))
    this.#step({ type: 'submitted', submission })
    return await answer
  }

  /** Tells the others about this client. What is left out stays as it was told before; told again over each link. */
  tell(about: Presence): void {
    this.#presence = { ...this.#presence, ...about }
    if (this.isSynced) this.connection.send({ type: 'presence', ...about })
  }

  // ---- what happens

  #advance(event: LogEvent): void {
    const before = this.unsyncedChanges
    const [log, effects] = advance(this.#log, event)
    this.#log = log
    for (const effect of effects) this.#do(effect)
    const number = log.queue.length
    if (number !== before) this.tellUnsaved(number)
  }

  #do(effect: LogEffect): void {
    switch (effect.type) {
      case 'send':
        this.connection.send(effect.message)
        break
      case 'synced':
        this.tellSynced(effect.state)
        break
      case 'operations':
      case 'reset': {
        const { type, ...told } = effect
        this.emit(type, told as OperationsClientEvents[typeof type])
        break
      }
      case 'presence':
        this.emit('presence', effect.message as unknown as OperationsClientEvents['presence'])
        break
      case 'settled':
        this.#take(effect.request)?.resolve(effect.answer)
        break
      case 'rejected':
        this.#take(effect.request)?.reject(new OperationsRefused(effect.refusal))
        break
      case 'wait':
        this.#again = setTimeout(() => this.#step({ type: 'again' }), AGAIN_MS * (0.5 + Math.random()))
        break
      case 'failed':
        this.connection.fail(effect.failure)
        break
    }
  }

  protected override giveUp(error: Refused): void {
    super.giveUp(error)
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
    this.#step({ type: 'dropped' })
  }

  /** @internal */
  override tellSynced(state: boolean): void {
    super.tellSynced(state)
    if (state && this.#presence) this.tell(this.#presence)
  }

  #take(request: number): Waiting | undefined {
    const waiting = this.#waiting.get(request)
    this.#waiting.delete(request)
    return waiting
  }
}

function newId(): string {
  // Not crypto.randomUUID(): pages without TLS do not have it.
  return crypto.getRandomValues(new Uint32Array(3)).join('-') // 36 characters are taken
}
