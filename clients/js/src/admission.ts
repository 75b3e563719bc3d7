/** A session with the server: opened with the user's token, renewed in time, ended at the end. */
import { broken } from './core/codes.ts'
import type { Failure } from './core/codes.ts'
import type { Renewal } from './core/policy.ts'
import { ask, failureIn, messageOf, RequestFailed } from './http.ts'
import type { Ask, Fetch } from './http.ts'

/** What the host application gave its user, or how to get it. Called anew whenever a token is needed. */
export type Token = string | (() => string | Promise<string>)

export type Grant = 'read' | 'comment' | 'write' | 'admin'

export interface User {
  readonly id: string
  readonly name: string | null
  readonly colour: string | null
}

/** What the server said. Times are those of this machine's clock. */
export interface Ticket {
  readonly access: string
  readonly grant: Grant
  /** The grant is this low only as long as the document is damaged: ask anew before each link. */
  readonly damaged: boolean
  readonly user: User
  /** When to renew the access token: four fifths of its life. */
  readonly renewAt: number
  /** With the access token the session ends, unless it is prolonged. */
  readonly last: boolean
  /** The server wants WebSockets tried first. */
  readonly sockets: boolean
}

export interface AdmissionOptions {
  /** Of the API: `…/api/v2/realtime/`. */
  readonly api: URL
  readonly document: string
  readonly token: Token | undefined
  readonly fetch: Fetch
}

/** The longest life of an access token, whatever the clocks say. */
const LONGEST_LIFE_MS = 600_000
/** The shortest that is believed; the second where the server's clock is not known, and so its times mean little. */
const SHORTEST_LIFE_MS = 2000
const SHORTEST_GUESSED_LIFE_MS = 30_000
const TOKEN_WITHIN_MS = 30_000

export class Admission {
  readonly #options: AdmissionOptions
  #ticket: Ticket | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Of what is asked for the session that there is, or that is to be. */
  #stop = new AbortController()

  readonly #refused: (failure: Failure) => void

  /** `refused`: a refresh that the clock asked for has failed. */
  constructor(options: AdmissionOptions, refused: (failure: Failure) => void) {
    this.#options = options
    this.#refused = refused
  }

  get ticket(): Ticket | null {
    return this.#ticket
  }

  /** A session that the server knows, as far as is known here. Throws `RequestFailed`. */
  async admit(renew: Renewal, blocked: boolean): Promise<Ticket> {
    const ticket = this.#ticket
    const fresh = ticket && !ticket.damaged && Date.now() < ticket.renewAt
    if (fresh && renew === 'nothing') return ticket
    if (!ticket || (fresh && renew === 'session')) return await this.#connect(blocked)
    try {
      return await this.#refresh(ticket)
    } catch (error) {
      if (failureIn(error).name !== 'unauthorized') throw error
      return await this.#connect(blocked)
    }
  }

  /** Ends the session, after this, also while the page is being left. The server may not hear of it; then it ends by itself. */
  async leave(after: Promise<unknown> | null): Promise<void> {
    const ticket = this.#ticket
    this.#keep(null)
    this.#stop.abort()
    if (!ticket) return
    await after
    this.#ask('disconnect', { token: ticket.access, keepalive: true, read: () => null }).catch(() => {})
  }

  async #connect(blocked: boolean): Promise<Ticket> {
    this.#keep(null)
    this.#stop = new AbortController()
    const body = {
      document_id: this.#options.document,
      session_token: await this.#token(),
      failed: blocked ? ['yjs'] : [],
      client: { name: '@cowrite/client' },
    }
    return this.#keep(await this.#request('connect', body))
  }

  async #refresh(ticket: Ticket): Promise<Ticket> {
    const body = ticket.last && typeof this.#options.token === 'function' ? { session_token: await this.#token() } : {}
    const renewed = await this.#request('refresh', body, ticket)
    return this.#ticket === ticket ? this.#keep(renewed) : renewed // it was left meanwhile
  }

  async #token(): Promise<string | null> {
    const { token } = this.#options
    if (typeof token !== 'function') return token?.trim() ?? null
    let timer: ReturnType<typeof setTimeout> | undefined
    const work = new Promise<string>((resolve, reject) => {
      const stop = (): void => reject(new Error('nothing came in time'))
      timer = setTimeout(stop, TOKEN_WITHIN_MS)
      this.#stop.signal.addEventListener('abort', stop)
      Promise.resolve().then(token).then(resolve, reject)
    })
    try {
      return (await work).trim()
    } catch (error) {
      throw new RequestFailed({ ...broken(`no token: ${messageOf(error)}`), name: 'token' })
    } finally {
      clearTimeout(timer)
    }
  }

  async #request(path: string, body: object, before?: Ticket): Promise<Ticket> {
    return await this.#ask(path, {
      json: body,
      stops: [this.#stop.signal],
      token: before?.access,
      read: async (answer) => ticketOf(await answer.json(), answer.headers.get('date'), before),
    })
  }

  async #ask<T>(path: string, more: Omit<Ask<T>, 'fetch' | 'url'>): Promise<T> {
    const { api, fetch } = this.#options
    return await ask({ fetch, url: new URL(path, api), ...more })
  }

  #keep<T extends Ticket | null>(ticket: T): T {
    clearTimeout(this.#timer)
    this.#ticket = ticket
    // Only a function can give a token that is good for longer than the first one.
    if (ticket && (!ticket.last || typeof this.#options.token === 'function')) this.#renewLater(ticket, ticket.renewAt - Date.now())
    return ticket
  }

  #renewLater(ticket: Ticket, ms: number): void {
    this.#timer = setTimeout(() => {
      this.#refresh(ticket).catch((error: unknown) => {
        if (this.#ticket !== ticket) return
        const failure = failureIn(error)
        this.#refused(failure)
        if (this.#ticket === ticket) this.#renewLater(ticket, Math.max(failure.rest, 2000 + Math.random() * 8000))
      })
    }, ms)
  }
}

function ticketOf(value: unknown, date: string | null, before: Ticket | undefined): Ticket {
  const answer = value as {
    readonly access_token: unknown
    readonly expires_at: number
    readonly session_expires_at: number
    readonly grant: Grant
    readonly read_only?: unknown
    readonly user: User
    readonly transports?: readonly { readonly name: string }[]
  }
  const { access_token: access, expires_at: ends, session_expires_at: sessionEnds } = answer
  if (typeof access !== 'string' || !Number.isFinite(ends + sessionEnds)) {
    throw new TypeError('no session')
  }
  // The machines' clocks may differ by more than a token lasts.
  const now = Date.now()
  const theirs = Date.parse(date ?? '')
  const life = Math.max(theirs ? SHORTEST_LIFE_MS : SHORTEST_GUESSED_LIFE_MS, ends - (theirs || now))
  return {
    access,
    grant: answer.grant,
    damaged: answer.read_only === 'damaged',
    user: answer.user,
    renewAt: now + 0.8 * Math.min(LONGEST_LIFE_MS, life),
    last: sessionEnds - ends < 1000,
    sockets: answer.transports ? answer.transports[0]?.name !== 'polling' : (before?.sockets ?? true),
  }
}
