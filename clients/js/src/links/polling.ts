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
import { ask, failureIn, readAs } from '../http.ts'
import type { Link, LinkListener, LinkMaker, Place } from './link.ts'
import { LongPolls, pause } from './long_polls.ts'

const MESSAGES = 'application/octet-stream'

interface News {
  readonly messages: readonly Bytes[]
  /** From which to poll on. */
  readonly cursor: string
}

export const yjsPolling: LinkMaker<Bytes> = (place, listener) => new PollingLink(place, listener)

class PollingLink implements Link<Bytes> {
  readonly #place: Place
  readonly #listener: LinkListener<Bytes>
  readonly #stop = new AbortController()
  readonly #polls = new LongPolls()
  #waiting: Bytes[] = []
  #tally: Tally = NOTHING_SENT
  #state: 'open' | 'draining' | 'closed' = 'open'
  #sending = false
  #reading: AbortController | null = null

  constructor(place: Place, listener: LinkListener<Bytes>) {
    this.#place = place
    this.#listener = listener
    queueMicrotask(() => {
      if (this.#state === 'open') listener.opened()
    })
  }

  /** Goes with everything else that is sent before the next request leaves. */
  send(message: Bytes): void {
    if (this.#state !== 'open') return
    this.#waiting.push(message)
    if (this.#sending) return
    this.#sending = true
    queueMicrotask(() => void this.#unlessItFails(this.#sendAll()))
  }

  drain(): void {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    this.#reading?.abort()
    if (!this.#sending) queueMicrotask(() => this.#finish())
  }

  close(): void {
    this.#state = 'closed'
    this.#stop.abort()
  }

  async #sendAll(): Promise<void> {
    while (this.#state !== 'closed' && this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, batchSize(this.#waiting))
      const news = await this.#exchange(batch)
      this.#answered(batch, news)
      if (!this.#reading && this.#state === 'open') {
        this.#reading = new AbortController()
        void this.#unlessItFails(this.#read(news.cursor, this.#reading.signal))
      }
    }
    this.#sending = false
    this.#finish()
  }

  #finish(): void {
    if (this.#state !== 'draining') return
    this.#state = 'closed'
    this.#listener.drained()
  }

  async #read(from: string, stop: AbortSignal): Promise<void> {
    for (let cursor = from; this.#state === 'open'; ) {
      // Reads follow one another, each from where the last one ended.
      const news = await this.#polls.next((wait) => this.#poll(cursor, wait, stop), stop)
      if (!news) return
      cursor = news.cursor
      this.#deliver(news.messages)
      await pause(this.#polls.rest, stop)
    }
  }

  /** The answer to a request says how many of its own uploads are durable; a link says how many of all. */
  #answered(batch: readonly Bytes[], { messages }: News): void {
    const uploads = batch.map((message) => decode(message)).filter((message): message is Message => message !== null && isUpload(message))
    const said = messages.map((message) => decode(message)).find((message) => message?.type === 'acknowledged')
    this.#tally = tally(this.#tally, uploads, said?.count ?? 0)
    this.#deliver(messages.filter((message) => decode(message)?.type !== 'acknowledged'))
    if (said) this.#deliver([encode({ ...said, count: this.#tally.durable })])
  }

  #deliver(messages: readonly Bytes[]): void {
    for (const message of messages) {
      if (this.#state !== 'closed') this.#listener.received(message)
    }
  }

  async #exchange(batch: readonly Bytes[]): Promise<News> {
    return await this.#request('operations', {}, { method: 'POST', body: seal(batch), stop: this.#stop.signal })
  }

  async #poll(cursor: string, wait: number, stop: AbortSignal): Promise<News> {
    return await this.#request('poll', { cursor, wait: String(wait) }, { stop: AbortSignal.any([stop, this.#stop.signal]), wait: 1000 * wait })
  }

  async #request(path: string, query: Record<string, string>, more: { method?: 'POST'; body?: Bytes; stop: AbortSignal; wait?: number }): Promise<News> {
    const { api, document, ticket, fetch } = this.#place
    const url = new URL(path, api)
    url.search = String(new URLSearchParams({ document_id: document, ...query }))
    const headers = { 'content-type': MESSAGES, accept: MESSAGES }
    const answer = await ask({ fetch, url, headers, token: ticket().access, ...more })
    return await readAs(answer, async () => {
      const messages = unseal(new Uint8Array(await answer.arrayBuffer()))
      for (const message of messages) decode(message)
      return { messages, cursor: answer.headers.get('cowrite-cursor') ?? '' }
    })
  }

  async #unlessItFails(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (this.#state === 'closed') return
      this.close()
      this.#listener.lost(failureIn(error))
    }
  }
}
