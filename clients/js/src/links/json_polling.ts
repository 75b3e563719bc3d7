/** Polling for JSON operations, as a link: requests and answers become the messages of the socket. */
import { BROKEN, CLOSE_CODES } from '../core/codes.ts'
import type { Failure } from '../core/codes.ts'
import type { ServerMessage } from '../core/log.ts'
import { ask, failureIn, readAs } from '../http.ts'
import type { Ask } from '../http.ts'
import type { Link, LinkListener, LinkMaker, Place } from './link.ts'
import { LongPolls, pause } from './long_polls.ts'

type Fields = Readonly<Record<string, unknown>>

interface Polled {
  readonly etag: string | null
  /** Null: nothing is new. */
  readonly news: Fields | null
}

/** What ends the link, and not only the request. */
const OF_THE_LINK: ReadonlySet<number> = new Set([
  BROKEN,
  CLOSE_CODES.unauthorized,
  CLOSE_CODES.forbidden,
  CLOSE_CODES.document_deleted,
  CLOSE_CODES.service_restart,
])

export const jsonPolling: LinkMaker<ServerMessage> = (place, listener) => new JsonPolling(place, listener)

class JsonPolling implements Link<ServerMessage> {
  readonly #place: Place
  readonly #listener: LinkListener<ServerMessage>
  readonly #stop = new AbortController()
  readonly #reading = new AbortController()
  readonly #polls = new LongPolls()
  #state: 'open' | 'draining' | 'closed' = 'open'
  #writing: Promise<void> = Promise.resolve()

  constructor(place: Place, listener: LinkListener<ServerMessage>) {
    this.#place = place
    this.#listener = listener
    queueMicrotask(() => {
      if (this.#state === 'open') listener.opened()
    })
  }

  send(message: ServerMessage): void {
    if (this.#state !== 'open') return
    if (message.type === 'hello') void this.#unlessItFails(this.#read(message['last_operation'] as string | null | undefined))
    else this.#writing = this.#writing.then(() => this.#unlessItFails(this.#write(message)))
  }

  drain(): void {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    this.#reading.abort()
    void this.#writing.then(() => {
      if (this.#state === 'draining') this.#listener.drained()
    })
  }

  close(): void {
    this.#state = 'closed'
    this.#stop.abort()
  }

  async #read(from: string | null | undefined): Promise<void> {
    const stop = this.#reading.signal
    let [head, etag] = [from ?? null, null as string | null]
    if (from === undefined) this.#tell({ type: 'welcome', state: {}, head: null, offset: 0 })
    for (let type = from === undefined ? 'operations' : 'welcome'; this.#state === 'open'; ) {
      const [cursor, known] = [head, etag]
      // Reads follow one another, each from where the last one ended.
      // oxlint-disable-next-line no-await-in-loop
      const polled = await this.#polls.next((wait) => this.#poll(cursor, known, type === 'welcome' ? 0 : wait, stop), stop)
      if (!polled) return
      if (polled.news) {
        this.#tell({ ...polled.news, type: polled.news['reset'] === true && type !== 'welcome' ? 'reset' : type })
        this.#tell({ type: 'presence', present: polled.news['presence'] })
        head = polled.news['head'] as string | null
        type = 'operations'
      }
      etag = polled.etag
      // oxlint-disable-next-line no-await-in-loop
      await pause(this.#polls.rest, stop)
    }
  }

  async #poll(head: string | null, etag: string | null, wait: number, stop: AbortSignal): Promise<Polled> {
    const query = { ...(head === null ? {} : { last_operation: head }), wait: String(wait) }
    const answer = await this.#ask('poll', query, {
      headers: etag === null ? {} : { 'if-none-match': etag },
      stop: AbortSignal.any([stop, this.#stop.signal]),
      wait: 1000 * wait,
    })
    const news = answer.status === 304 ? null : await readAs(answer, async () => (await answer.json()) as Fields)
    return { etag: answer.headers.get('etag'), news }
  }

  async #write({ type, ...fields }: ServerMessage): Promise<void> {
    if (type === 'heartbeat') return // each poll shows whether the server is there
    const { request, ...rest } = fields
    const body = JSON.stringify({ document_id: this.#place.document, ...rest })
    const headers = { 'content-type': 'application/json' }
    try {
      const answer = await this.#ask(type, {}, { method: 'POST', headers, body, stop: this.#stop.signal })
      if (type !== 'operations') return
      const written = await readAs(answer, async () => (await answer.json()) as Fields)
      this.#tell({ ...written, type: 'acknowledged', request })
    } catch (error) {
      const failure = failureIn(error)
      if (OF_THE_LINK.has(failure.code) && failure.name !== 'grant_too_low') throw error
      this.#tell({ type: 'refused', request, ...refusalIn(failure) })
    }
  }

  async #ask(path: string, query: Record<string, string>, more: Omit<Ask, 'fetch' | 'url'>): Promise<Response> {
    const { api, document, ticket, fetch } = this.#place
    const url = new URL(path, api)
    if (path === 'poll') url.search = String(new URLSearchParams({ document_id: document, ...query }))
    return await ask({ fetch, url, token: ticket().access, ...more })
  }

  #tell(message: ServerMessage): void {
    if (this.#state !== 'closed') this.#listener.received(message)
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

function refusalIn({ code, name, reason, index, field }: Failure): Fields {
  return { code: name, detail: reason, retry: code >= 4500, index, field }
}
