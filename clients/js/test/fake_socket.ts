/** The client's end of a WebSocket in virtual time, and the network between it and the fake server. */
import type { Bytes } from '../src/core/bytes.ts'
import type { FakeServer } from './fake_server.ts'

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
  onsent: (frame: Uint8Array | string) => void = () => {}
  ongone: () => void = () => {}
  readonly #server: FakeServer
  #arrivesAt = [0, 0]
  readonly #underWay: readonly [(() => void)[], (() => void)[]] = [[], []]
  /** Something was lost on the way, so nothing behind it arrives; nobody is told. */
  #deaf = false

  constructor(server: FakeServer, url: URL) {
    this.#server = server
    this.url = url
    this.#later(0, () => {
      if (!server.network || server.sockets === 'refuse') this.ends(1006, '')
      else if (server.sockets !== 'swallow') this.#opens()
    })
  }

  send(frame: Uint8Array | string): void {
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
    const now = performance.now()
    const at = Math.max(this.#arrivesAt[direction] ?? 0, now + this.#server.delay())
    this.#arrivesAt[direction] = at
    const underWay = this.#underWay[direction]
    underWay.push(work)
    // Each timer delivers what was sent first: of two that are over in one moment virtual time may run the later one first.
    setTimeout(() => {
      const next = underWay.shift()
      this.#deaf ||= !this.#server.network
      if (!this.#deaf) next?.()
    }, at - now)
  }
}
