/** Other tabs of the same browser with the same document, met without the server: a BroadcastChannel with messages of y-websocket. */
import { Malformed } from './core/bytes.ts'
import { decode, encode } from './core/messages.ts'
import type { Message, Sent } from './core/messages.ts'
import type { Bytes } from './core/bytes.ts'
import { Unreadable } from './replica.ts'
import type { Origin, YjsReplica } from './replica.ts'
import { applicationError } from './status.ts'
import type { Surroundings } from './sync.ts'

/** The provider. */
type Around = Pick<Surroundings, 'readOnly' | 'emit'>

export class Tabs {
  readonly #channel: BroadcastChannel
  readonly #replica: YjsReplica
  readonly #origin: Origin
  readonly #around: Around

  /** Where it is `readOnly`, others are told nothing of the document. An `error` is what the page threw at what had come. */
  constructor(name: string, replica: YjsReplica, origin: Origin, around: Around) {
    this.#replica = replica
    this.#origin = origin
    this.#around = around
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      try {
        if (data instanceof Uint8Array) this.#take(decode(data))
      } catch (error) {
        // What cannot be read is of a tab of another version, or of somebody else: no reason to stop.
        if (!(error instanceof Malformed || error instanceof Unreadable)) around.emit('error', applicationError(error))
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
    const awareness = this.#replica.renewed()
    if (awareness) this.#say({ type: 'awareness', body: awareness })
  }

  #take(message: Message | null): void {
    switch (message?.type) {
      case 'step1':
        if (!this.#around.readOnly) this.#say({ type: 'step2', body: this.#replica.missing(message.body) })
        break
      case 'step2':
      case 'update':
        this.#replica.apply(message.body, this.#origin)
        break
      case 'awareness':
        this.#replica.meet(message.body, this.#origin)
        break
      case 'query':
        this.#introduce()
        break
      default:
        break
    }
  }
}
