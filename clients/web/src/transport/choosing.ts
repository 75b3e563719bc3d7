/**
 * The WebSocket class that the provider is given: a real WebSocket where one gets through, polling where none does, and back.
 */
import { BROKEN } from './failure.ts'
import type { Network } from './network.ts'
import { PollingSocket } from './polling.ts'
import { CLOSED, closeEvent, CLOSING, CONNECTING, OPEN } from './socket.ts'
import type { Socket } from './socket.ts'

/** A WebSocket that is not open by then is taken for blocked. */
const OPENS_WITHIN_MS = 2500
/** While polling, a WebSocket is tried so often. */
const TRY_AGAIN_MS = 30_000
/** "Connect again": the close code with which polling gives way to a WebSocket. */
const CHANGE_OVER = 1012
/** Close codes that nobody sent: the connection broke, or there was no code. */
const WITHOUT_A_WORD: ReadonlySet<number> = new Set([1005, BROKEN])

export interface Watcher {
  /** A connection is open, and this is what it goes by. */
  readonly opened: (by: 'socket' | 'polling') => void
  /** A message was handed to the connection. */
  readonly sent: (message: Uint8Array) => void
}

/** A class for y-websocket's `WebSocketPolyfill`. All its instances share what they learn about the network. */
export function choosingSocket(network: Network, watcher: Watcher): typeof WebSocket {
  return class extends ChoosingSocket {
    constructor(url: string | URL, protocols: string[]) {
      super(url, protocols, network, watcher)
    }
  } as unknown as typeof WebSocket // as far as the provider uses it
}

class ChoosingSocket implements Socket {
  readonly CONNECTING = CONNECTING
  readonly OPEN = OPEN
  readonly CLOSING = CLOSING
  readonly CLOSED = CLOSED
  binaryType: BinaryType = 'arraybuffer'
  onopen: Socket['onopen'] = null
  onmessage: Socket['onmessage'] = null
  onclose: Socket['onclose'] = null
  onerror: Socket['onerror'] = null
  readonly #url: string | URL
  readonly #protocols: string[]
  readonly #network: Network
  readonly #watcher: Watcher
  #carrier: Socket
  /** A WebSocket that is tried while polling. */
  #probe: Socket | null = null
  #timer: number | undefined
  #opened = false
  /** Something came through. */
  #heard = false

  constructor(url: string | URL, protocols: string[], network: Network, watcher: Watcher) {
    this.#url = url
    this.#protocols = protocols
    this.#network = network
    this.#watcher = watcher
    this.#carrier = network.blocked ? this.#poll() : this.#connect()
  }

  get readyState(): number {
    return this.#carrier.readyState
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== OPEN) return
    this.#carrier.send(message)
    this.#watcher.sent(message)
  }

  close(code?: number): void {
    if (this.readyState === OPEN && !this.#heard) this.#network.socketFailed() // for half a minute; so long the provider waits
    this.#abandon(code)
  }

  // ---- by WebSocket

  #connect(): Socket {
    const socket = newWebSocket(this.#url, this.#protocols)
    if (!socket) return this.#poll(() => this.#network.socketFailed())
    this.#timer = later(OPENS_WITHIN_MS, () => this.#pollInstead(closeEvent(BROKEN, 'no WebSocket opened in time')))
    socket.onopen = (event) => {
      clearTimeout(this.#timer)
      this.#open(event, 'socket')
    }
    socket.onmessage = (event) => {
      if (!this.#heard) this.#network.socketWorked()
      this.#heard = true
      this.onmessage?.(event)
    }
    socket.onclose = (event) => {
      clearTimeout(this.#timer)
      const failed = !this.#heard && WITHOUT_A_WORD.has(event.code)
      if (failed && !this.#opened) {
        this.#pollInstead(event)
        return
      }
      if (failed) this.#network.socketFailed()
      this.onclose?.(event)
    }
    return socket // its error event says nothing that the close event behind it does not say
  }

  // ---- by polling

  /** The WebSocket has failed, as `event` says. Where HTTP works it is polling from now on; but see `Network.blocked`. */
  #pollInstead(event: CloseEvent): void {
    this.#abandon()
    this.#carrier = this.#poll(() => {
      this.#network.socketFailed()
      if (!this.#network.blocked) this.#end(event)
    })
  }

  #poll(reached: () => void = () => {}): Socket {
    const polling = new PollingSocket(this.#url, this.#network)
    polling.onopen = (event) => {
      reached()
      if (polling.readyState !== OPEN) return
      this.#heard = true
      this.#climbLater()
      this.#open(event, 'polling')
    }
    polling.onmessage = (event) => this.onmessage?.(event)
    polling.onclose = (event) => this.#end(event)
    return polling
  }

  #climbLater(): void {
    this.#timer = later(TRY_AGAIN_MS, () => (this.#network.blocked ? this.#climb() : this.#changeOver()))
  }

  /** Tries a WebSocket beside the polling. When something comes through it, the provider shall come back, and will get one. */
  #climb(): void {
    const probe = newWebSocket(this.#url, this.#protocols)
    if (!probe) return this.#climbLater()
    this.#probe = probe
    const giveUp = (): void => {
      clearTimeout(this.#timer)
      detach(probe)
      this.#climbLater()
    }
    probe.onclose = giveUp
    probe.onmessage = () => {
      this.#network.socketWorked()
      this.#changeOver()
    }
    this.#timer = later(OPENS_WITHIN_MS, giveUp)
  }

  #changeOver(): void {
    this.#end(closeEvent(CHANGE_OVER, 'WebSockets work again'))
  }

  // ---- both

  #open(event: Event, by: 'socket' | 'polling'): void {
    this.#opened = true
    this.#watcher.opened(by)
    this.onopen?.(event)
  }

  #end(event: CloseEvent): void {
    this.#abandon()
    this.onclose?.(event)
  }

  #abandon(code?: number): void {
    clearTimeout(this.#timer)
    detach(this.#carrier, code)
    if (this.#probe) detach(this.#probe)
  }
}

/** Null where the browser does not even try: a policy or an extension may forbid it. */
function newWebSocket(url: string | URL, protocols: string[]): Socket | null {
  try {
    const socket = new WebSocket(url, protocols)
    socket.binaryType = 'arraybuffer'
    return socket
  } catch {
    return null
  }
}

/** Closes it, and hears no more of it. */
function detach(socket: Socket, code?: number): void {
  socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null
  socket.close(code)
}

function later(milliseconds: number, work: () => void): number {
  return setTimeout(work, milliseconds) as unknown as number
}
