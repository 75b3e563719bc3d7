/** Polling for JSON operations, as a link: requests and answers become the messages of the socket. */
import { BROKEN, CLOSE_CODES } from '../core/codes.ts'
import type { Failure } from '../core/codes.ts'
import type { ServerMessage } from '../core/log.ts'
import { failureIn } from '../http.ts'
import type { LinkMaker } from './link.ts'
import { Requests } from './requests.ts'

type Fields = Readonly<Record<string, unknown>>

/** What ends the link, and not only the request. */
const OF_THE_LINK: ReadonlySet<number> = new Set([
  BROKEN,
  CLOSE_CODES.unauthorized,
  CLOSE_CODES.forbidden,
  CLOSE_CODES.document_deleted,
  CLOSE_CODES.service_restart,
])

export const jsonPolling: LinkMaker<ServerMessage> = (place, listener) => new JsonPolling(place, listener)

class JsonPolling extends Requests<ServerMessage> {
  #writing: Promise<void> = Promise.resolve()
  #head: string | null = null
  #etag: string | null = null
  #welcomed = false

  send(message: ServerMessage): void {
    if (!this.open) return
    if (message.type === 'hello') this.#greet(message)
    // Each poll shows whether the server is there.
    else if (message.type !== 'heartbeat') this.#writing = this.#writing.then(() => this.unlessItFails(this.#write(message)))
  }

  protected async answered(): Promise<void> {
    await this.#writing
  }

  /** Whoever begins is given the log from its beginning, or the state where that is too long. */
  #greet(hello: ServerMessage): void {
    if (!('last_operation' in hello)) {
      this.#welcomed = true
      this.listener.received({ type: 'welcome', state: {}, head: null, offset: 0 })
    }
    this.#head = (hello['last_operation'] as string | null | undefined) ?? null
    this.read()
  }

  protected async poll(patience: number, stop: AbortSignal): Promise<void> {
    const wait = this.#welcomed ? patience : 0
    const query = { wait: String(wait), ...(this.#head !== null && { last_operation: this.#head }) }
    const headers = { ...(this.#etag !== null && { 'if-none-match': this.#etag }) }
    const news = await this.ask('poll', {
      query,
      headers,
      stop,
      wait: 1000 * wait,
      read: async (answer) => {
        this.#etag = answer.headers.get('etag')
        return answer.status === 304 ? null : await fieldsOf(answer)
      },
    })
    if (!news) return
    this.#head = (news['head'] as string | null | undefined) ?? null
    const type = news['reset'] === true ? 'reset' : 'operations'
    this.listener.received({ ...news, type: this.#welcomed ? type : 'welcome' })
    this.#welcomed = true
    this.listener.received({ type: 'presence', present: news['presence'] })
  }

  async #write({ type, request, ...fields }: ServerMessage): Promise<void> {
    try {
      const written = await this.ask(type, {
        json: { document_id: this.place.document, ...fields },
        read: async (answer) => (type === 'operations' ? fieldsOf(answer) : null),
      })
      if (written) this.listener.received({ ...written, type: 'acknowledged', request })
    } catch (error) {
      const failure = failureIn(error)
      if (OF_THE_LINK.has(failure.code) && failure.name !== 'grant_too_low') throw error
      this.listener.received({ ...refusalIn(failure), type: 'refused', request })
    }
  }
}

/** None where it is no object: then what is needed is found missing. */
async function fieldsOf(answer: Response): Promise<Fields> {
  return Object(await answer.json()) as Fields
}

function refusalIn({ code, name, reason, index, field }: Failure): Fields {
  return { code: name, detail: reason, retry: code >= 4500 && name !== 'document_damaged', index, field }
}
