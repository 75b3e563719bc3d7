/**
 * A server and a network in virtual time, in the place of `WebSocket` and `fetch`. The server does what the specification says about
 * messages and acknowledgements; the network does what a test says. Everything takes its time, in order for each socket.
 */
import { applyUpdate, Doc, encodeStateAsUpdate, encodeStateVector } from 'yjs'
import type { Bytes } from '../src/core/bytes.ts'
import { seal, unseal } from '../src/core/envelope.ts'
import { decode, encode, isUpload } from '../src/core/messages.ts'
import type { Sent } from '../src/core/messages.ts'

export const NOTHING: Bytes = Uint8Array.of(0, 0)
const COMMIT_MS = 20

interface Socket {
  readonly send: (message: Sent) => void
  readonly close: (code: number, reason: string) => void
  uploads: number
  durable: number
}

type Handler = (path: string, url: URL, init: RequestInit) => Response | null

export class FakeServer {
  /** What was taken: broadcast, and lost when the server dies. */
  live: Doc = new Doc()
  /** What is on the disk. */
  disk: Doc = new Doc()
  /** What becomes of sockets from now on. */
  sockets: 'pass' | 'refuse' | 'swallow' = 'pass'
  /** False: nothing gets through. Sockets on which something is lost stay silent for ever. */
  network = true
  /** Milliseconds for which a message is under way. */
  delay: () => number = () => 5
  /** Whether the network delivers a request twice. */
  doubles: () => boolean = () => false
  tokenLifeMs = 600_000
  /** Of the token that `connect` takes. */
  sessionLifeMs = 3_600_000
  accepts: (token: string | null) => boolean = () => true
  grant = 'write'
  /** In the place of the server's own answers, where it gives one. */
  answers: Handler = () => null
  readonly requests: string[] = []
  readonly shown: (string | null)[] = []
  readonly #attached = new Set<Socket>()
  readonly #open = new Set<FakeWebSocket>()
  readonly #sessions = new Map<string, number>()
  readonly #entries: Bytes[] = []
  readonly #news = new Set<() => void>()
  readonly #asking = new Set<() => void>()
  #epoch = 1
  #commit: ReturnType<typeof setTimeout> | undefined
  #pending: (() => void)[] = []

  readonly fetch: typeof globalThis.fetch = async (input, init = {}) =>
    await new Promise((resolve, reject) => {
      const fail = (): void => reject(new TypeError('fetch failed'))
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
    this.#sessions.clear()
    this.#attached.clear()
    this.live = new Doc()
    applyUpdate(this.live, encodeStateAsUpdate(this.disk))
    this.cut()
  }

  /** The server forgets all sessions. */
  forget(): void {
    this.#sessions.clear()
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
    }
    if (!this.#knows(socket.url.searchParams.get('token'))) {
      attached.close(4401, 'no valid token')
      return
    }
    socket.onsent = (frame) => {
      if (this.#attached.has(attached)) this.#take(attached, frame)
    }
    socket.ongone = () => {
      this.#attached.delete(attached)
      this.#open.delete(socket)
    }
    this.#attached.add(attached)
    attached.send({ type: 'step1', body: encodeStateVector(this.live) as Bytes })
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
    if (init.body instanceof Uint8Array && this.#knows(bearerOf(init)) && this.doubles()) void this.#operations(init.body)
    const answer = this.answers(path, url, init) ?? (await this.#answer(path, url, init))
    await this.#travel()
    return answer
  }

  async #travel(): Promise<void> {
    await new Promise((done) => setTimeout(done, this.delay()))
    if (!this.network) throw new TypeError('fetch failed')
  }

  async #answer(path: string, url: URL, init: RequestInit): Promise<Response> {
    const bearer = bearerOf(init)
    if (path === 'connect') return this.#connect(init)
    if (!this.#knows(bearer)) return problem(401, 'unauthorized')
    switch (path) {
      case 'refresh':
        return this.#refresh(init)
      case 'disconnect':
        this.#sessions.delete(bearer ?? '')
        return new Response(null, { status: 204 })
      case 'operations':
        return messages(await this.#operations(init.body as Uint8Array), this.#cursor)
      default:
        return await this.#poll(url, init.signal)
    }
  }

  #connect(init: RequestInit): Response {
    const { session_token: token, failed } = JSON.parse(String(init.body)) as { session_token: string | null; failed: string[] }
    this.shown.push(token)
    if (!this.accepts(token)) return problem(401, 'unauthorized')
    const names = failed.includes('yjs') ? ['polling', 'yjs'] : ['websocket', 'yjs', 'polling']
    return this.#admit({ transports: names.map((name) => ({ name })) })
  }

  #refresh(init: RequestInit): Response {
    const { session_token: token } = JSON.parse(String(init.body)) as { session_token?: string }
    if (token !== undefined) this.shown.push(token)
    return token !== undefined && !this.accepts(token) ? problem(401, 'unauthorized') : this.#admit({})
  }

  #admit(more: object): Response {
    const token = `access ${this.#sessions.size} ${Date.now()} ${Math.random()}`
    this.#sessions.set(token, Date.now() + this.tokenLifeMs)
    const body = {
      session_id: 'session',
      access_token: token,
      expires_at: Date.now() + this.tokenLifeMs,
      session_expires_at: Date.now() + this.sessionLifeMs,
      grant: this.grant,
      user: { id: 'ana', name: null, colour: null },
      ...more,
    }
    return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json' } })
  }

  #knows(token: string | null): boolean {
    return (this.#sessions.get(token ?? '') ?? 0) > Date.now()
  }

  get #cursor(): string {
    return `${this.#epoch}:${this.#entries.length}`
  }

  async #operations(body: Uint8Array): Promise<Bytes[]> {
    const taken = unseal(body).map((frame) => decode(frame))
    const answers: Sent[] = []
    const durable = taken.filter((message) => message !== null && isUpload(message))
    await Promise.all(
      durable.map(
        async (message) =>
          await new Promise<void>((done) => {
            if (message?.type === 'step2' || message?.type === 'update') this.#apply(message.body, null, done)
          }),
      ),
    )
    const asks = taken.find((message) => message?.type === 'step1')
    if (asks?.type === 'step1') {
      answers.push({ type: 'step2', body: encodeStateAsUpdate(this.disk, asks.body) as Bytes })
      answers.push({ type: 'step1', body: encodeStateVector(this.live) as Bytes })
    }
    if (durable.length > 0) answers.push({ type: 'acknowledged', count: durable.length, offset: this.#entries.length })
    return answers.map((message) => encode(message))
  }

  async #poll(url: URL, signal: AbortSignal | null | undefined): Promise<Response> {
    const [epoch, offset] = (url.searchParams.get('cursor') ?? '').split(':').map(Number)
    const deadline = Date.now() + 1000 * Number(url.searchParams.get('wait'))
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
    return messages(
      news.map((message) => encode(message)),
      this.#cursor,
    )
  }
}

/** One socket. Whatever goes over it arrives in order, or is lost with it. */
export class FakeWebSocket {
  static readonly OPEN = 1
  readonly url: URL
  readyState = 0
  binaryType = ''
  onopen: (() => void) | null = null
  onmessage: ((event: { data: ArrayBuffer | string }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  onerror: (() => void) | null = null
  onsent: (frame: Uint8Array) => void = () => {}
  ongone: () => void = () => {}
  readonly #server: FakeServer
  #arrivesAt = [0, 0]
  /** Something was lost on the way, so nothing behind it arrives; nobody is told. */
  #deaf = false

  constructor(server: FakeServer, url: URL) {
    this.#server = server
    this.url = url
    this.#later(0, () => {
      if (!server.network || server.sockets === 'refuse') this.ends(1006, '')
      else if (server.sockets === 'pass') this.#opens()
    })
  }

  send(frame: Uint8Array): void {
    const copy = frame.slice()
    this.#later(0, () => this.onsent(copy))
  }

  close(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    const closed = (): void => this.onclose?.({ code: 1005, reason: '' })
    this.#later(0, () => {
      this.ongone()
      this.#later(1, closed)
    })
    setTimeout(() => (this.ongone(), closed()), 60_000) // both notice by themselves
  }

  receives(frame: Bytes | string): void {
    this.#later(1, () => this.onmessage?.({ data: typeof frame === 'string' ? frame : frame.buffer }))
  }

  ends(code: number, reason: string): void {
    this.#later(1, () => {
      if (this.readyState === 3) return
      this.readyState = 3
      this.ongone()
      this.onclose?.({ code, reason })
    })
  }

  /** The connection is cut: what is under way is lost, and it is known at once. */
  breaks(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.onsent = () => {}
    this.ongone()
    this.onclose?.({ code: 1006, reason: '' })
  }

  #opens(): void {
    if (this.readyState !== 0) return
    this.readyState = 1
    this.onopen?.()
    this.#server.attach(this)
  }

  #later(direction: 0 | 1, work: () => void): void {
    const now = Date.now()
    const at = Math.max(this.#arrivesAt[direction] ?? 0, now + this.#server.delay())
    this.#arrivesAt[direction] = at
    setTimeout(() => {
      this.#deaf ||= !this.#server.network
      if (!this.#deaf) work()
    }, at - now)
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
