/**
 * A server and a network in virtual time, in the place of `WebSocket` and `fetch`. The server does what the specification says about
 * messages and acknowledgements, and no more than that, so that no client comes to rely on it; the network does what a test says.
 * Everything takes its time, in order for each socket. In one thing it is stricter: who sends what builds on something missing is
 * not asked for it, but an error of the test, as this client never does so (CI3).
 */
import { applyUpdate, Doc, encodeStateAsUpdate, encodeStateVector } from 'yjs'
import type { Bytes } from '../src/core/bytes.ts'
import { seal, unseal } from '../src/core/envelope.ts'
import { decode, encode } from '../src/core/messages.ts'
import type { Sent } from '../src/core/messages.ts'
import { FakeWebSocket } from './fake_socket.ts'

const COMMIT_MS = 20
/** How long the room knows a session after its last request. */
const LINGERS_MS = 30_000
const LONGEST_WAIT_S = 25

interface Socket {
  readonly send: (message: Sent) => void
  readonly close: (code: number, reason: string) => void
  uploads: number
  durable: number
  /** What it told last about who is there. */
  awareness: Sent | null
}

/** A session, whatever access tokens it has had. */
interface Session {
  /** The room wants to know what the client has, and says so in the next answer. */
  asks: boolean
  requestedAt: number
}

interface Access {
  readonly session: Session
  readonly endsAt: number
}

type Handler = (path: string, url: URL, init: RequestInit) => Response | null

export class FakeServer {
  /** What was taken: broadcast, and lost when the server dies. */
  live: Doc = new Doc()
  /** What is on the disk. */
  disk: Doc = new Doc()
  /** What becomes of sockets from now on. Those that are deaf open, and bring what the server says, but swallow what the client does. */
  sockets: 'pass' | 'refuse' | 'swallow' | 'deaf' = 'pass'
  /** False: nothing gets through. Sockets on which something is lost stay silent for ever. */
  network = true
  /** Milliseconds for which a message is under way. */
  delay: () => number = () => 5
  /** Whether the network delivers a request twice. */
  doubles: () => boolean = () => false
  /** With what the server closes sockets as soon as they are open; null: it takes them. */
  refuses: number | null = null
  tokenLifeMs = 600_000
  /** By how much the server's clock is ahead. */
  aheadMs = 0
  /** Of the token that `connect` takes. */
  sessionLifeMs = 3_600_000
  accepts: (token: string | null) => boolean = () => true
  grant = 'write'
  /** The document is damaged: whatever is granted, it is read. */
  damaged = false
  /** False: a mistake that there once was. Who polls is asked for what he has where his session begins, and never again (PO21). */
  asksAgain = true
  /** In the place of the server's own answers, where it gives one. */
  answers: Handler = () => null
  readonly requests: string[] = []
  readonly shown: (string | null)[] = []
  /** Messages that came over sockets for JSON. */
  readonly said: { readonly type: string }[] = []
  readonly #attached = new Set<Socket>()
  readonly #open = new Set<FakeWebSocket>()
  readonly #access = new Map<string, Access>()
  readonly #entries: Bytes[] = []
  readonly #news = new Set<() => void>()
  readonly #asking = new Set<() => void>()
  #epoch = 1
  #commit: ReturnType<typeof setTimeout> | undefined
  #pending: (() => void)[] = []

  readonly fetch: typeof globalThis.fetch = async (input, init = {}) =>
    await new Promise((resolve, reject) => {
      const fail = (): void => reject(new TypeError('fetch failed'))
      if (init.signal?.aborted) {
        fail()
        return
      }
      init.signal?.addEventListener('abort', fail)
      this.#asking.add(fail)
      this.#serve(new URL(String(input)), init).then(resolve, reject).finally(() => this.#asking.delete(fail))
    })

  get WebSocket(): typeof globalThis.WebSocket {
    const [server, open] = [this, this.#open]
    class Bound extends FakeWebSocket {
      constructor(url: string | URL) {
        super(server, new URL(url))
        open.add(this)
      }
    }
    return Bound as unknown as typeof globalThis.WebSocket
  }

  /** All sockets are closed with this code. */
  close(code: number): void {
    for (const socket of Array.from(this.#attached)) socket.close(code, `code ${code}`)
  }

  /** This comes over all sockets. */
  say(frame: Bytes | string): void {
    for (const socket of this.#open) socket.receives(frame)
  }

  /** Every connection breaks. */
  cut(): void {
    for (const socket of Array.from(this.#open)) socket.breaks()
    for (const fail of Array.from(this.#asking)) fail()
    for (const wake of Array.from(this.#news)) wake()
  }

  /** Killed and started again: what was not on the disk is gone, and so are all sessions. */
  restart(): void {
    clearTimeout(this.#commit)
    this.#commit = undefined
    this.#pending = []
    this.#access.clear()
    this.#attached.clear()
    this.live = new Doc()
    applyUpdate(this.live, encodeStateAsUpdate(this.disk))
    this.cut()
  }

  /** The server forgets all sessions. */
  forget(): void {
    this.#access.clear()
  }

  // ---- sockets

  attach(socket: FakeWebSocket): void {
    const attached: Socket = {
      send: (message) => socket.receives(encode(message)),
      close: (code, reason) => {
        this.#attached.delete(attached)
        socket.ends(code, reason)
      },
      uploads: 0,
      durable: 0,
      awareness: null,
    }
    const json = socket.url.pathname.endsWith('/realtime/ws')
    const known = json || this.#sessionOf(socket.url.searchParams.get('token'))
    const code = known ? this.refuses : 4401
    if (code !== null) {
      attached.close(code, `code ${code}`)
      return
    }
    socket.onsent = (frame) => {
      if (!this.#attached.has(attached)) return
      if (typeof frame === 'string') this.#takeText(socket, frame)
      else this.#take(attached, frame)
    }
    socket.ongone = () => {
      this.#attached.delete(attached)
      this.#open.delete(socket)
    }
    this.#attached.add(attached)
    if (this.sockets === 'deaf') socket.onsent = () => {}
    if (json) return
    attached.send({ type: 'step1', body: encodeStateVector(this.live) as Bytes })
    for (const { awareness } of this.#attached) if (awareness) attached.send(awareness)
  }

  /** Of operations only the greeting: a document in which there is nothing. */
  #takeText(socket: FakeWebSocket, text: string): void {
    const message = JSON.parse(text) as { type: string }
    const { type } = message
    this.said.push(message)
    if (type === 'hello') socket.receives(JSON.stringify({ type: 'welcome', state: {}, head: null, offset: 0 }))
    if (type === 'heartbeat') socket.receives(JSON.stringify({ type: 'heartbeat' }))
  }

  #take(socket: Socket, frame: Uint8Array): void {
    const message = decode(frame)
    if (!message) throw new Error('a client sends only what is known')
    if (message.type === 'step1') {
      socket.send({ type: 'step2', body: encodeStateAsUpdate(this.live, message.body) as Bytes })
    } else if (message.type === 'step2' || message.type === 'update') {
      const number = ++socket.uploads
      this.#apply(message.body, socket, () => {
        socket.durable = number
        if (this.#attached.has(socket)) socket.send({ type: 'acknowledged', count: number, offset: this.#entries.length })
      })
    } else if (message.type === 'awareness') {
      socket.awareness = message
      for (const one of this.#attached) one.send(message)
    }
  }

  /** Relayed at once, durable a little later. Nothing may come before what it builds on. */
  #apply(update: Bytes, from: Socket | null, durable: () => void): void {
    const before = encodeStateVector(this.live)
    applyUpdate(this.live, update)
    if (this.live.store.pendingStructs) throw new Error('an update came before what it builds on')
    const news = encodeStateAsUpdate(this.live, before) as Bytes
    if (news.length > 2) {
      for (const one of this.#attached) if (one !== from) one.send({ type: 'update', body: news })
    }
    this.#pending.push(() => {
      applyUpdate(this.disk, update)
      if (news.length > 2) this.#entries.push(news)
      durable()
    })
    this.#commit ??= setTimeout(() => {
      this.#commit = undefined
      for (const commit of this.#pending.splice(0)) commit()
      for (const wake of Array.from(this.#news)) wake()
    }, COMMIT_MS)
  }

  // ---- requests

  async #serve(url: URL, init: RequestInit): Promise<Response> {
    const path = url.pathname.split('/').at(-1) ?? ''
    this.requests.push(path)
    await this.#travel()
    if (init.signal?.aborted) throw new DOMException('aborted before it arrived', 'AbortError')
    const session = this.#sessionOf(bearerOf(init))
    if (init.body instanceof Uint8Array && session && this.doubles()) void this.#operations(session, init.body)
    const answer = this.answers(path, url, init) ?? (await this.#answer(path, url, init))
    await this.#travel()
    return answer
  }

  async #travel(): Promise<void> {
    await new Promise((done) => setTimeout(done, this.delay()))
    if (!this.network) throw new TypeError('fetch failed')
  }

  async #answer(path: string, url: URL, init: RequestInit): Promise<Response> {
    if (path === 'connect') return this.#connect(init)
    const session = this.#sessionOf(bearerOf(init))
    if (!session) return problem(401, 'unauthorized')
    switch (path) {
      case 'refresh':
        return this.#refresh(session, init)
      case 'disconnect':
        for (const [token, access] of this.#access) if (access.session === session) this.#access.delete(token)
        return new Response(null, { status: 204 })
      case 'operations':
        return await this.#operations(session, init.body as Uint8Array)
      default:
        return await this.#poll(session, url, init.signal)
    }
  }

  #connect(init: RequestInit): Response {
    const { session_token: token, failed } = JSON.parse(String(init.body)) as { session_token: string | null; failed: string[] }
    this.shown.push(token)
    if (!this.accepts(token)) return problem(401, 'unauthorized')
    const names = failed.includes('yjs') ? ['polling', 'yjs'] : ['websocket', 'yjs', 'polling']
    return this.#admit({ asks: true, requestedAt: 0 }, { transports: names.map((name) => ({ name })) })
  }

  #refresh(session: Session, init: RequestInit): Response {
    const { session_token: token } = JSON.parse(String(init.body)) as { session_token?: string }
    if (token !== undefined) this.shown.push(token)
    return token !== undefined && !this.accepts(token) ? problem(401, 'unauthorized') : this.#admit(session, {})
  }

  #admit(session: Session, more: object): Response {
    const token = `access ${this.#access.size} ${Date.now()} ${Math.random()}`
    this.#access.set(token, { session, endsAt: Date.now() + this.tokenLifeMs })
    const now = Date.now() + this.aheadMs
    const body = {
      session_id: 'session',
      access_token: token,
      expires_at: now + this.tokenLifeMs,
      session_expires_at: now + this.sessionLifeMs,
      grant: this.damaged ? 'read' : this.grant,
      read_only: this.damaged ? 'damaged' : null,
      user: { id: 'ana', name: null, colour: null },
      ...more,
    }
    return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json', date: new Date(now).toUTCString() } })
  }

  #sessionOf(token: string | null): Session | null {
    const access = this.#access.get(token ?? '')
    return access && access.endsAt > Date.now() ? access.session : null
  }

  get #mayWrite(): boolean {
    return !this.damaged && (this.grant === 'write' || this.grant === 'admin')
  }

  get #cursor(): string {
    return `${this.#epoch}:${this.#entries.length}`
  }

  async #operations(session: Session, body: Uint8Array): Promise<Response> {
    this.#begin(session)
    const taken = unseal(body).map((frame) => decode(frame))
    const bodies = (...types: readonly string[]): Bytes[] =>
      taken.flatMap((message) => (message && 'body' in message && types.includes(message.type) ? [message.body] : []))
    // A reader's empty answer is no upload.
    const uploads = bodies('step2', 'update').filter((update) => this.#mayWrite || update.length > 2)
    if (uploads.length > 0 && !this.#mayWrite) return problem(403, 'grant_too_low')
    await Promise.all(uploads.map(async (update) => await new Promise<void>((done) => this.#apply(update, null, done))))
    const questions = bodies('step1')
    session.asks ||= this.asksAgain && questions.length > 0
    const answers: Sent[] = [
      ...questions.map((vector): Sent => ({ type: 'step2', body: encodeStateAsUpdate(this.disk, vector) as Bytes })),
      ...this.#question(session),
    ]
    if (uploads.length > 0) answers.push({ type: 'acknowledged', count: uploads.length, offset: this.#entries.length })
    return messages(answers.map((message) => encode(message)), this.#cursor)
  }

  /** A request has come: of one that the room does not know any more it does not know what it has, either. */
  #begin(session: Session): void {
    if (Date.now() - session.requestedAt > LINGERS_MS) session.asks = true
    session.requestedAt = Date.now()
  }

  /** The server asks where the session begins, where the request asks, and else never. */
  #question(session: Session): Sent[] {
    const asks = session.asks && this.#mayWrite
    session.asks = false
    return asks ? [{ type: 'step1', body: encodeStateVector(this.live) as Bytes }] : []
  }

  async #poll(session: Session, url: URL, signal: AbortSignal | null | undefined): Promise<Response> {
    const wait = Number(url.searchParams.get('wait') ?? 0)
    if (!(wait >= 0 && wait <= LONGEST_WAIT_S)) return problem(422, 'invalid_parameter')
    this.#begin(session)
    const [epoch, offset] = (url.searchParams.get('cursor') ?? '').split(':').map(Number)
    const deadline = Date.now() + 1000 * wait
    while (epoch === this.#epoch && offset === this.#entries.length && Date.now() < deadline && this.network) {
      // oxlint-disable-next-line no-await-in-loop
      await new Promise<void>((done, fail) => {
        const wake = (): void => {
          clearTimeout(timer)
          this.#news.delete(wake)
          done()
        }
        const timer = setTimeout(wake, deadline - Date.now())
        this.#news.add(wake)
        signal?.addEventListener('abort', () => fail(new DOMException('aborted', 'AbortError')))
      })
    }
    const entries = epoch === this.#epoch && offset !== undefined ? this.#entries.slice(offset) : null
    const news: Sent[] = entries
      ? entries.map((body) => ({ type: 'update', body }))
      : [{ type: 'step2', body: encodeStateAsUpdate(this.disk) as Bytes }]
    session.requestedAt = Date.now()
    return messages([...news, ...this.#question(session)].map((message) => encode(message)), this.#cursor)
  }
}

export function problem(status: number, code: string, more: Record<string, string> = {}): Response {
  const headers = { 'content-type': 'application/problem+json', ...more }
  return new Response(JSON.stringify({ type: 'about:blank', title: code, status, code }), { status, headers })
}

export function messages(bodies: readonly Bytes[], cursor: string): Response {
  return new Response(seal(bodies), { headers: { 'content-type': 'application/octet-stream', 'cowrite-cursor': cursor } })
}

function bearerOf(init: RequestInit): string | null {
  return new Headers(init.headers).get('authorization')?.slice(7) ?? null
}
