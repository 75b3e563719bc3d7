/**
 * From "so many of this request's uploads are durable", which the answer to a request says, to "so many of this connection's",
 * which message 100 says on a socket. Pure.
 */
import { createDecoder, hasContent, readVarUint } from 'lib0/decoding'
import { encode, writeVarUint } from 'lib0/encoding'
import { ACKNOWLEDGED, readAcknowledgement } from '../frames.ts'
import type { Acknowledgement, Upload } from '../frames.ts'
import type { Message } from './envelope.ts'

export class Tally {
  #sent = 0
  #durable = 0

  /** A request with these uploads was answered, and its first `durable` ones are on disk. Returns how many of all are, from the first on. */
  answered(uploads: readonly Upload[], durable: number): number {
    // A SyncStep2 carries everything, so it makes up for what an earlier request could not bring onto the disk.
    if (this.#durable === this.#sent || uploads.slice(0, durable).includes('SyncStep2')) this.#durable = this.#sent + durable
    this.#sent += uploads.length
    return this.#durable
  }
}

/** What a message acknowledges; null when it is another one. */
export function acknowledgementIn(message: Message): Acknowledgement | null {
  const decoder = createDecoder(message)
  return hasContent(decoder) && readVarUint(decoder) === ACKNOWLEDGED ? readAcknowledgement(decoder) : null
}

export function acknowledge({ count, offset }: Acknowledgement): Message {
  return encode((encoder) => {
    for (const number of [ACKNOWLEDGED, count, offset]) writeVarUint(encoder, number)
  }) as Message
}
