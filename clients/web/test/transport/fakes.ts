/** A server and WebSockets that do what a test says. */
import { vi } from 'vitest'
import { ACK_PROTOCOL } from '../../src/frames.ts'
import { Network } from '../../src/transport/network.ts'
import { seal, unseal } from '../../src/transport/envelope.ts'
import type { Message } from '../../src/transport/envelope.ts'
import type { Socket } from '../../src/transport/socket.ts'

export const ADDRESS = 'ws://host/notes/yjs/a%2Fb.markdown'
export const PROTOCOLS: string[] = [ACK_PROTOCOL]
/** How long access tokens last. */
export const LIFE_MS = 600_000

export const STEP_1: Message = Uint8Array.of(0, 0, 1, 0)
export const STEP_2: Message = Uint8Array.of(0, 1, 2, 0, 0)
export const update = (mark: number): Message => Uint8Array.of(0, 2, 1, mark)
export const acknowledged = (count: number, offset: number): Message => Uint8Array.of(100, count, offset)

interface Request {
  readonly url: URL
  readonly init: RequestInit
  readonly answer: (body: Message[] | object, more?: { status?: number; headers?: Record<string, string> }) => Promise<void>
  readonly breakOff: () => Promise<void>
}

/** In the place of `fetch` and `navigator.sendBeacon`. Each request waits until the test answers it. */
export class FakeServer {
  readonly beacons: string[] = []
  #requests: Request[] = []
  #tokens = 0
  /** How much later it is here than at the client. */
  skew = 0

  constructor() {
    vi.stubGlobal('fetch', (url: URL, init: RequestInit) => this.#take(url, init))
    vi.stubGlobal('navigator', { sendBeacon: (url: URL, body: string) => this.beacons.push(`${url.pathname} ${body}`) })
  }

  /** The oldest request to `path` that has not been asked for here; fails when there is none. */
  async next(path: string): Promise<Request> {
    await settled()
    const at = this.#requests.findIndex(({ url }) => url.pathname === `/notes/api/v2/realtime/${path}`)
    const [request] = at < 0 ? [] : this.#requests.splice(at, 1)
    if (!request) throw new Error(`no request to ${path}, but to ${this.waiting.join(', ') || 'nothing'}`)
    return request
  }

  get waiting(): string[] {
    return this.#requests.map(({ url }) => url.pathname.split('/').at(-1) ?? '')
  }

  /** Answers a request to `connect` or `refresh`. */
  async admit(path = 'connect'): Promise<void> {
    const request = await this.next(path)
    const body = { access_token: `token ${++this.#tokens}`, expires_at: Date.now() + this.skew + LIFE_MS }
    await request.answer(body, { headers: { date: new Date(Date.now() + this.skew).toUTCString() } })
  }

  #take(url: URL, init: RequestInit): Promise<Response> {
    return new Promise((resolve, reject) => {
      init.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
      this.#requests.push({
        url,
        init,
        answer: async (body, { status = 200, headers = {} } = {}) => {
          const given = Array.isArray(body)
            ? { 'cowrite-cursor': 'c' }
            : { 'content-type': status === 200 ? 'application/json' : 'application/problem+json' }
          const content = Array.isArray(body) ? seal(body) : JSON.stringify(body)
          resolve(new Response(content, { status, headers: { ...given, ...headers } }))
          await settled()
        },
        breakOff: async () => {
          reject(new TypeError('Failed to fetch'))
          await settled()
        },
      })
    })
  }
}

export function bodyOf({ init }: Request): Message[] {
  return unseal(init.body as Message)
}

export function bearerOf({ init }: Request): string | null {
  return new Headers(init.headers).get('authorization')
}

/** In the place of `WebSocket`. */
export class FakeWebSocket implements Socket {
  static readonly made: FakeWebSocket[] = []
  binaryType: BinaryType = 'blob'
  readyState = 0
  onopen: Socket['onopen'] = null
  onmessage: Socket['onmessage'] = null
  onclose: Socket['onclose'] = null
  onerror: Socket['onerror'] = null
  readonly sent: Message[] = []

  constructor() {
    FakeWebSocket.made.push(this)
  }

  /** The newest one. */
  static get last(): FakeWebSocket {
    const last = FakeWebSocket.made.at(-1)
    if (!last) throw new Error('no WebSocket was made')
    return last
  }

  send(message: Message): void {
    this.sent.push(message)
  }

  close(): void {
    this.readyState = 3
  }

  opens(): void {
    this.readyState = 1
    this.onopen?.(new Event('open'))
  }

  says(message: Message): void {
    this.onmessage?.(new MessageEvent('message', { data: message.buffer }))
  }

  ends(code: number): void {
    this.readyState = 3
    this.onclose?.(Object.assign(new Event('close'), { code, reason: '', wasClean: false }))
  }
}

/** What a socket tells, in words. */
export function listen(socket: Socket): string[] {
  const told: string[] = []
  socket.onopen = () => told.push('open')
  socket.onmessage = ({ data }) => told.push(`message ${new Uint8Array(data as ArrayBuffer).join(' ')}`)
  socket.onclose = ({ code }) => told.push(`close ${code}`)
  return told
}

export function newNetwork(): Network {
  FakeWebSocket.made.length = 0
  vi.stubGlobal('WebSocket', FakeWebSocket)
  return new Network()
}

/** What has been made ready runs; no time passes. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await vi.advanceTimersByTimeAsync(0)
}
