/** Other tabs of the same browser with the same document, met without the server: a BroadcastChannel with messages of y-websocket. */
import { decode, encode } from './core/messages.ts'
import type { Message, Sent } from './core/messages.ts'
import type { Bytes } from './core/bytes.ts'
import type { Origin, YjsReplica } from './replica.ts'

export class Tabs {
  readonly #channel: BroadcastChannel
  readonly #replica: YjsReplica
  readonly #origin: Origin
  readonly #readOnly: () => boolean

  /** Where it is `readOnly`, others are told nothing of the document. */
  constructor(name: string, replica: YjsReplica, origin: Origin, readOnly: () => boolean) {
    this.#replica = replica
    this.#origin = origin
    this.#readOnly = readOnly
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (data instanceof Uint8Array) this.#take(data)
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

  #take(frame: Uint8Array): void {
    let message: Message | null = null
    try {
      message = decode(frame)
    } catch {
      return // a tab of another version, or of somebody else: it is no reason to stop
    }
    switch (message?.type) {
      case 'step1':
        if (!this.#readOnly()) this.#say({ type: 'step2', body: this.#replica.missing(message.body) })
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
