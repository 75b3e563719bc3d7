/** Editing a document without Yjs: JSON operations, in the order of the log. */
import { Client } from './client.ts'
import type { ClientEvents } from './client.ts'
import { Connection } from './connection.ts'
import { advance, unread } from './core/log.ts'
import type { Answer, Draft, Json, Log, LogEffect, LogEvent, Operation, Refusal, ServerMessage } from './core/log.ts'
import { jsonPolling } from './links/json_polling.ts'
import { jsonSocket } from './links/json_socket.ts'
import { serverOf } from './place.ts'
import type { ServerOptions } from './place.ts'
import { oneByOne } from './serial.ts'
import { errorEvent } from './status.ts'

export interface OperationsClientOptions extends ServerOptions {
  /** Go on behind this operation, instead of beginning with the document's state. */
  readonly lastOperation?: string | null
}

export interface OperationsClientEvents extends ClientEvents {
  /** Committed operations, also one's own: each once, in the order of the log, those of one entry together. */
  readonly operations: { readonly operations: readonly Operation[]; readonly head: string | null; readonly offset: number }
  /** The document is this now, whatever was told before: at the start, and when too much has happened meanwhile. */
  readonly reset: { readonly state: Json; readonly head: string | null; readonly offset: number }
  /** Who is present, or who came, changed and went: a message of the socket. */
  readonly presence: ServerMessage
}

/** Operations were not taken, and never will be. `code`, `index` and `field` say why, and which. */
export class OperationsRefused extends Error {
  override readonly name: string = 'OperationsRefused'
  readonly code: string
  readonly index: number | undefined
  readonly field: string | undefined

  constructor({ code, detail, index, field }: Refusal) {
    super(detail)
    this.code = code
    this.index = index
    this.field = field
  }
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

const AGAIN_MS = 2000

export class OperationsClient extends Client<ServerMessage, OperationsClientEvents> {
  protected readonly connection: Connection<ServerMessage>
  readonly #waiting = new Map<number, Waiting>()
  readonly #step = oneByOne<LogEvent>((event) => this.#advance(event))
  #log: Log
  #requests = 0
  #again: ReturnType<typeof setTimeout> | undefined
  #presence: Json | undefined

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
        changed: (state, before) => this.changed(state, before),
        failed: (failure) => this.emit('error', errorEvent(failure)),
      },
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
    const error = this.refusal()
    if (error) for (const request of Array.from(this.#waiting.keys())) this.#take(request)?.reject(error)
  }

  /**
   * Writes operations that were made, one after the other, for the document as it was told so far, with all that was submitted
   * before on top. They are sent again with their ids until they are answered, and applied once. Fulfilled with the operations
   * as committed, after they were told as an event; rejected with `OperationsRefused`, or with `Refused`.
   */
  submit(operations: readonly Draft[]): Promise<Answer> {
    const error = this.refusal()
    if (error) return Promise.reject(error)
    const request = ++this.#requests
    const named = operations.map((draft) => ({ ...draft, id: draft.id ?? newId() }))
    const before = this.#log.queue.at(-1)?.operations.at(-1)?.id ?? null
    const submission = { request, operations: named, base: this.#log.head ?? null, after: before }
    const answer = new Promise<Answer>((resolve, reject) => this.#waiting.set(request, { resolve, reject }))
    this.#step({ type: 'submitted', submission })
    return answer
  }

  /** Tells the others an object about this client; null for nothing. Told again over each link. */
  tell(state: Json): void {
    this.#presence = state
    if (this.isSynced) this.connection.send({ type: 'presence', state })
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
        this.emit('presence', effect.message)
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

  protected override tellSynced(state: boolean): void {
    super.tellSynced(state)
    if (state && this.#presence !== undefined) this.tell(this.#presence)
  }

  #take(request: number): Waiting | undefined {
    const waiting = this.#waiting.get(request)
    this.#waiting.delete(request)
    return waiting
  }
}

function newId(): string {
  // Not crypto.randomUUID(): pages without TLS do not have it.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
