/** Other tabs of the same browser with the same document, met without the server: a BroadcastChannel with messages of y-websocket. */
import { Malformed } from './core/bytes.ts'
import { decode, encode } from './core/messages.ts'
import type { Message, Sent } from './core/messages.ts'
import type { Bytes } from './core/bytes.ts'
import { Unreadable } from './replica.ts'

/** What a tab needs of its replica. */
export interface Replica {
  vector(): Bytes
  /** What a replica lacks that has this state vector. */
  missing(vector: Bytes): Bytes
  /** The awareness of this client, as news; null when it has none. */
  awareness(): Bytes | null
  apply(update: Bytes): void
  meet(awareness: Bytes): void
  /** The page threw this, and what came has been taken. */
  failed(error: unknown): void
}

export class Tabs {
  readonly #channel: BroadcastChannel
  readonly #replica: Replica

  constructor(name: string, replica: Replica) {
    this.#replica = replica
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      try {
        if (data instanceof Uint8Array) this.#take(decode(data))
      } catch (error) {
        // What cannot be read is of a tab of another version, or of somebody else: no reason to stop.
        if (!(error instanceof Malformed || error instanceof Unreadable)) replica.failed(error)
      }
    }
    // In Node a channel keeps the process alive otherwise.
    ;(this.#channel as { unref?: () => void }).unref?.()
    this.#say({ type: 'step1', body: replica.vector() })
    this.ask()
    this.#introduce()
  }

  /** Who is here? */
  ask(): void {
    this.#say({ type: 'query' })
  }

  tell(type: 'update' | 'awareness', body: Bytes): void {
    this.#say({ type, body })
  }

  close(): void {
    this.#channel.onmessage = null
    this.#channel.close()
  }

  #say(message: Sent): void {
    this.#channel.postMessage(encode(message))
  }

  #introduce(): void {
    const awareness = this.#replica.awareness()
    if (awareness) this.#say({ type: 'awareness', body: awareness })
  }

  #take(message: Message | null): void {
    switch (message?.type) {
      case 'step1':
        this.#say({ type: 'step2', body: this.#replica.missing(message.body) })
        break
      case 'step2':
      case 'update':
        this.#replica.apply(message.body)
        break
      case 'awareness':
        this.#replica.meet(message.body)
        break
      case 'query':
        this.#introduce()
        break
      default:
        break
    }
  }
}
