/** A session with the server over HTTP: `api/v2/realtime`, with messages of y-websocket in the bodies. Every failure is a `Failure`. */
import { BROKEN, Failure, failureOf } from './failure.ts'
import { seal, unseal } from './envelope.ts'
import type { Message } from './envelope.ts'

const MESSAGES = 'application/octet-stream'
/** After so long without an answer there will be none. */
const DEADLINE_MS = 15_000
/** Browsers send so much, and not more, for a page that has been left. */
const FAREWELL_BYTES = 60_000

export interface Place {
  /** Of the API, with a slash at the end. */
  readonly api: URL
  readonly document: string
  readonly token: string | null
}

export interface News {
  readonly messages: readonly Message[]
  /** From which to poll on. */
  readonly cursor: string
}

/** What the address of a document's WebSocket, `…/yjs/{id}?token=…`, says about it: the API is beside it. */
export function placeOf(socket: string | URL): Place {
  const url = new URL(socket)
  const [prefix = '', id = ''] = url.pathname.split(/\/yjs\/(.*)/su)
  const api = new URL(`${prefix}/api/v2/realtime/`, url)
  api.protocol = url.protocol === 'wss:' ? 'https:' : 'http:'
  return { api, document: decodeURIComponent(id), token: url.searchParams.get('token') }
}

export class Session {
  readonly #place: Place
  readonly #stop: AbortSignal
  #access: string
  #ends: number

  private constructor(place: Place, stop: AbortSignal, admitted: Admitted) {
    this.#place = place
    this.#stop = stop
    this.#access = admitted.access
    this.#ends = admitted.ends
  }

  /** All requests end when `stop` is aborted. */
  static async open(place: Place, stop: AbortSignal): Promise<Session> {
    const body = { document_id: place.document, session_token: place.token, failed: ['yjs'] }
    const answer = await ask(new URL('connect', place.api), json(body), stop, { renewable: false })
    return new Session(place, stop, await admission(answer))
  }

  /** Sends messages; their answers come back once the uploads among them are durable. */
  async exchange(messages: readonly Message[]): Promise<News> {
    return await this.#messages(this.#url('operations'), { method: 'POST', body: seal(messages) })
  }

  /** What is new since the cursor, after `wait` seconds at the latest. */
  async poll(cursor: string, wait: number): Promise<News> {
    return await this.#messages(this.#url('poll', { cursor, wait: String(wait) }), {}, wait)
  }

  /** For how many milliseconds the access token is to be used: four fifths of its life. */
  get refreshIn(): number {
    return Math.max(1000, (this.#ends - Date.now()) * 0.8)
  }

  async refresh(): Promise<void> {
    const answer = await ask(this.#url('refresh'), { ...json({}), headers: { ...JSON_BODY, ...this.#bearer() } }, this.#stop)
    const { access, ends } = await admission(answer)
    this.#access = access
    this.#ends = ends
  }

  /** Ends it, also while the page is being left. `rest`: messages that have not been sent, or not been answered. */
  end(rest: readonly Message[]): void {
    const body = seal(rest)
    const goodbye = (): void => void navigator.sendBeacon(new URL('disconnect', this.#place.api), this.#access)
    if (rest.length === 0 || body.length > FAREWELL_BYTES) {
      goodbye()
      return
    }
    const request = { method: 'POST', body, keepalive: true, headers: this.#headers() }
    fetch(this.#url('operations'), request).then(goodbye, goodbye)
  }

  async #messages(url: URL, request: RequestInit, wait = 0): Promise<News> {
    const answer = await ask(url, { ...request, headers: this.#headers() }, this.#stop, { wait })
    const [body, cursor] = [await answer.arrayBuffer(), answer.headers.get('cowrite-cursor')]
    if (cursor === null) throw new Failure(BROKEN, 'somebody else answered, such as the login page of a network')
    return { messages: unseal(new Uint8Array(body)), cursor }
  }

  #url(path: string, query: Record<string, string> = {}): URL {
    const url = new URL(path, this.#place.api)
    url.search = String(new URLSearchParams({ document_id: this.#place.document, ...query }))
    return url
  }

  #headers(): Record<string, string> {
    return { 'content-type': MESSAGES, accept: MESSAGES, ...this.#bearer() }
  }

  #bearer(): Record<string, string> {
    return { authorization: `Bearer ${this.#access}` }
  }
}

interface Admitted {
  readonly access: string
  /** When the access token ends, by this machine's clock. */
  readonly ends: number
}

const JSON_BODY = { 'content-type': 'application/json' }

function json(body: object): RequestInit {
  return { method: 'POST', body: JSON.stringify(body), headers: JSON_BODY }
}

async function ask(url: URL, request: RequestInit, stop: AbortSignal, { wait = 0, renewable = true } = {}): Promise<Response> {
  const signal = AbortSignal.any([stop, AbortSignal.timeout(DEADLINE_MS + 1000 * wait)])
  const answer = await fetch(url, { ...request, cache: 'no-store', signal })
  if (answer.ok) return answer
  const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json') ?? false
  const problem: unknown = isProblem ? await answer.json() : null
  throw failureOf(answer.status, problem, answer.headers.get('retry-after'), renewable)
}

async function admission(answer: Response): Promise<Admitted> {
  const { access_token: access, expires_at: ends } = (await answer.json()) as { access_token: string; expires_at: number }
  // The machines' clocks may differ by more than a token lasts.
  const theirs = Date.parse(answer.headers.get('date') ?? '')
  return { access, ends: ends + (Number.isNaN(theirs) ? 0 : Date.now() - theirs) }
}
