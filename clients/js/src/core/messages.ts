/** The messages of y-websocket and cowrite's acknowledgement. Pure; the server's side is `cowrite/protocol/yjs.py`. */
import { integer, join, Malformed, Reader } from './bytes.ts'
import type { Bytes } from './bytes.ts'

/** Offering this sub-protocol asks the server for acknowledgements. */
export const ACK_PROTOCOL = 'cowrite.ack.v1'

/**
 * step1: "this is what I have", a state vector · step2: all that was missing by it · update: an edit · awareness: who is here ·
 * query: asks for awareness · denied: why something is not allowed · acknowledged: the first `count` step2 and update messages
 * of this connection are durable.
 */
export type Message =
  | { readonly type: 'step1' | 'step2' | 'update' | 'awareness'; readonly body: Bytes }
  | { readonly type: 'query' }
  | { readonly type: 'denied'; readonly reason: string }
  | { readonly type: 'acknowledged'; readonly count: number; readonly offset: number }

/** What a client sends, or passes on. */
export type Sent = Exclude<Message, { readonly type: 'denied' }>

const SYNC = 0
const AWARENESS = 1
const AUTH = 2
const QUERY = 3
const ACKNOWLEDGED = 100
const STEPS = ['step1', 'step2', 'update'] as const

export function encode(message: Sent): Bytes {
  switch (message.type) {
    case 'query':
      return Uint8Array.of(QUERY)
    case 'acknowledged':
      return join([[ACKNOWLEDGED], integer(message.count), integer(message.offset)])
    default: {
      const { type, body } = message
      return join([type === 'awareness' ? [AWARENESS] : [SYNC, STEPS.indexOf(type)], integer(body.length), body])
    }
  }
}

/** The one message in a frame; null for a type that is not known. Throws `Malformed`, and nothing else. */
export function decode(frame: Uint8Array): Message | null {
  const reader = new Reader(frame)
  const message = read(reader)
  if (message && !reader.ended) throw new Malformed(reader.at)
  return message
}

/** Whether the server acknowledges it. */
export function isUpload(message: Message | null): message is Message {
  return message?.type === 'step2' || message?.type === 'update'
}

/** Whether it says that the server has read something of ours. */
export function isAnswer(frame: Bytes): boolean {
  return frame[0] === ACKNOWLEDGED || (frame[0] === SYNC && frame[1] === 1)
}

function read(reader: Reader): Message | null {
  switch (reader.integer()) {
    case SYNC: {
      const at = reader.at
      const type = STEPS[reader.integer()]
      if (!type) throw new Malformed(at)
      return { type, body: reader.block() }
    }
    case AWARENESS:
      return { type: 'awareness', body: reader.block() }
    case QUERY:
      return { type: 'query' }
    case AUTH: {
      const at = reader.at
      if (reader.integer() !== 0) throw new Malformed(at)
      return { type: 'denied', reason: reader.text() }
    }
    case ACKNOWLEDGED:
      return { type: 'acknowledged', count: reader.integer(), offset: reader.integer() }
    default:
      return null
  }
}
