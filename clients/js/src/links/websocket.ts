/** A WebSocket as a link. */
import type { Bytes } from '../core/bytes.ts'
import { closedWith, nonsense } from '../core/codes.ts'
import { ACK_PROTOCOL, isAnswer } from '../core/messages.ts'
import type { Link, LinkListener, LinkMaker } from './link.ts'

interface Wiring<M> {
  readonly WebSocket: typeof globalThis.WebSocket
  readonly url: URL
  readonly protocol: string
  readonly write: (message: M) => string | Bytes
  /** What a message is; null when it is none. */
  readonly read: (data: unknown) => M | null
  readonly isAnswer: (message: M) => boolean
}

/** The socket for Yjs clients, `/yjs/{id}`. */
export const yjsSocket: LinkMaker<Bytes> = ({ api, document, ticket, WebSocket }, listener) => {
  const url = socketUrl(new URL(`../../../yjs/${encodeURIComponent(document)}`, api))
  url.searchParams.set('token', ticket().access)
  return openSocket({ WebSocket, url, protocol: ACK_PROTOCOL, write: (bytes) => bytes, read: bytesIn, isAnswer }, listener)
}

export function socketUrl(url: URL): URL {
  url.protocol = url.protocol.replace('http', 'ws')
  return url
}

/** Throws what the constructor throws. Every other failure is told to the listener, and never before this has returned. */
export function openSocket<M>(wiring: Wiring<M>, listener: LinkListener<M>): Link<M> {
  const socket = new wiring.WebSocket(wiring.url, wiring.protocol)
  socket.binaryType = 'arraybuffer'
  const silence = (): void => {
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }
  socket.onerror = () => {} // says nothing that the close event behind it does not say; without it ws throws
  socket.onopen = () => listener.opened()
  socket.onmessage = ({ data }: MessageEvent<unknown>) => {
    const message = wiring.read(data)
    if (message !== null) {
      listener.received(message, wiring.isAnswer(message))
      return
    }
    silence()
    listener.lost(nonsense('a message'))
  }
  socket.onclose = ({ code, reason }) => listener.lost(closedWith(code, reason))
  return {
    send: (message) => {
      if (socket.readyState === wiring.WebSocket.OPEN) socket.send(wiring.write(message))
    },
    // Closing sends what was handed over, and the server closes once it has read that.
    drain: () => {
      silence()
      return new Promise((closed) => (socket.onclose = closed))
    },
    close: silence,
  }
}

function bytesIn(data: unknown): Bytes | null {
  return data instanceof ArrayBuffer ? new Uint8Array(data) : null
}
