/** Several messages in one body, each behind its length. Pure; the server's side is `cowrite/protocol/envelope.py`. */
import { integer, join, Reader } from './bytes.ts'
import type { Bytes } from './bytes.ts'

/** What one request takes along, unless a single message is longer. The server takes more of both. */
const BATCH_BYTES = 262_144
const BATCH_MESSAGES = 1000

export function seal(messages: readonly Uint8Array[]): Bytes {
  return join(messages.flatMap((message) => [integer(message.length), message]))
}

/** Throws `Malformed` when the body ends within a message. */
export function unseal(body: Uint8Array): Bytes[] {
  const reader = new Reader(body)
  const messages = []
  while (!reader.ended) messages.push(reader.block())
  return messages
}

/** How many of `waiting`, from the first on, go into one request: one at least. */
export function batchSize(waiting: readonly Uint8Array[]): number {
  let [count, bytes] = [0, 0]
  for (const message of waiting.slice(0, BATCH_MESSAGES)) {
    bytes += message.length
    if (count > 0 && bytes > BATCH_BYTES) break
    count++
  }
  return count
}
