/** Several messages in one body, each behind its length. Pure; the server's side is `cowrite/protocol/envelope.py`. */
import { createDecoder, hasContent, readVarUint } from 'lib0/decoding'
import { encode, writeVarUint8Array } from 'lib0/encoding'

/** What one request takes along, unless a single message is longer. The server takes more of both. */
export const BATCH_BYTES = 262_144
const BATCH_MESSAGES = 1000

export type Message = Uint8Array<ArrayBuffer>

export function seal(messages: readonly Message[]): Message {
  return encode((encoder) => {
    for (const message of messages) writeVarUint8Array(encoder, message)
  }) as Message
}

/** Each message with a buffer of its own. Throws when the body ends within one. */
export function unseal(body: Message): Message[] {
  const decoder = createDecoder(body)
  const messages: Message[] = []
  while (hasContent(decoder)) {
    const length = readVarUint(decoder)
    const end = decoder.pos + length
    if (end > body.length) throw new RangeError(`the body ends within a message of ${length} bytes`)
    messages.push(body.slice(decoder.pos, end))
    decoder.pos = end
  }
  return messages
}

/** How many of `waiting`, from the first on, go into one request: one at least. */
export function batchSize(waiting: readonly Message[]): number {
  let [count, bytes] = [0, 0]
  for (const message of waiting.slice(0, BATCH_MESSAGES)) {
    bytes += message.length
    if (count > 0 && bytes > BATCH_BYTES) break
    count++
  }
  return count
}
