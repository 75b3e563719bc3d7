/** From "so many of this request's uploads are durable" to "so many of this link's". A pure value. */
import type { Message } from './messages.ts'

export interface Tally {
  readonly sent: number
  readonly durable: number
}

export const NOTHING_SENT: Tally = { sent: 0, durable: 0 }

/** A request with these uploads was answered, and its first `durable` ones are on disk. */
export function tally({ sent, durable: before }: Tally, uploads: readonly Message[], durable: number): Tally {
  // A step2 carries everything, so it makes up for what earlier requests could not bring onto the disk.
  const whole = before === sent || uploads.slice(0, durable).some(({ type }) => type === 'step2')
  return { sent: sent + uploads.length, durable: whole ? sent + durable : before }
}
