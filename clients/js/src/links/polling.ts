/**
 * Long polling as a link for Yjs clients: what is sent goes by POST, several messages in a body, one request at a time; what is new
 * comes by GET from a cursor on.
 *
 * A read that breaks is repeated once from its cursor: proxies cut what takes long, and then the waits become shorter. Any other
 * request that fails ends the link, and the next one begins by syncing, so no answer that may have been lost need be asked for again.
 */
import type { Bytes } from '../core/bytes.ts'
import { batchSize, seal, unseal } from '../core/envelope.ts'
import { decode, encode, isUpload } from '../core/messages.ts'
import type { Message } from '../core/messages.ts'
import { NOTHING_SENT, tally } from '../core/tally.ts'
import type { Tally } from '../core/tally.ts'
import type { LinkMaker } from './link.ts'
import { Requests } from './requests.ts'

const MESSAGES = 'application/octet-stream'

interface News {
  /** All but the acknowledgement. */
  readonly messages: readonly Bytes[]
  readonly said: Extract<Message, { readonly type: 'acknowledged' }> | undefined
  /** From which to poll on. */
  readonly cursor: string
}

const AS_MESSAGES = { headers: { 'content-type': MESSAGES, accept: MESSAGES }, read: readNews } as const

export const yjsPolling: LinkMaker<Bytes> = (place, listener) => new YjsPolling(place, listener)

class YjsPolling extends Requests<Bytes> {
  #waiting: Bytes[] = []
  #tally: Tally = NOTHING_SENT
  #sending: Promise<void> | null = null
  /** From which to poll on; null before the first answer. */
  #cursor: string | null = null

  /** Goes with everything else that is sent before the next request leaves. */
  send(message: Bytes): void {
    if (!this.open) return
    this.#waiting.push(message)
    this.#sending ??= this.unlessItFails(this.#sendAll())
  }

  protected async answered(): Promise<void> {
    await this.#sending
  }

  async #sendAll(): Promise<void> {
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, batchSize(this.#waiting))
      // oxlint-disable-next-line no-await-in-loop -- one request at a time keeps the order
      this.#take(batch, await this.ask('operations', { ...AS_MESSAGES, body: seal(batch) }))
    }
    this.#sending = null
  }

  /** The answer to a request says how many of its own uploads are durable; a link says how many of all. */
  #take(batch: readonly Bytes[], { messages, said, cursor }: News): void {
    const uploads = batch.map(decode).filter(isUpload)
    this.#tally = tally(this.#tally, uploads, said?.count ?? 0)
    for (const message of messages) this.listener.received(message)
    if (said) this.listener.received(encode({ ...said, count: this.#tally.durable }))
    if (this.#cursor !== null) return
    this.#cursor = cursor
    this.read()
  }

  protected async poll(wait: number, stop: AbortSignal): Promise<void> {
    const query = { cursor: this.#cursor ?? '', wait: String(wait) }
    const { messages, cursor } = await this.ask('poll', { ...AS_MESSAGES, query, stop, wait: 1000 * wait })
    this.#cursor = cursor
    for (const message of messages) this.listener.received(message)
  }
}

/** Throws also for a body of which one message cannot be read, and where somebody else has answered: only the server knows cursors. */
async function readNews(answer: Response): Promise<News> {
  const cursor = answer.headers.get('cowrite-cursor')
  if (cursor === null) throw new Error('no cursor')
  const frames = unseal(new Uint8Array(await answer.arrayBuffer()))
  const read = frames.map(decode)
  const said = read.find((message) => message?.type === 'acknowledged')
  return { messages: frames.filter((_, index) => read[index]?.type !== 'acknowledged'), said, cursor }
}
