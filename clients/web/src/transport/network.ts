/** What a window has learned about the network between it and the server. All its documents share it. Pure: told what happens. */

/** Seconds for which a poll asks the server to wait for news. */
export const LONGEST_WAIT = 20
const SHORTEST_WAIT = 2
/** Who is reached again so soon after a poll broke was not away: something on the way cuts off what takes long. */
const SOON_MS = 3000

export class Network {
  #worked = false
  #failures = 0
  #wait = LONGEST_WAIT
  #cutAt = -Infinity
  #restUntil = 0

  /**
   * WebSockets do not get through, so they are not even tried first. Where they did get through earlier, it takes two failures in
   * a row: a server that is being restarted refuses one and takes the next.
   */
  get blocked(): boolean {
    return this.#failures >= (this.#worked ? 2 : 1)
  }

  /** Something came through a WebSocket. */
  socketWorked(): void {
    this.#worked = true
    this.#failures = 0
  }

  /** A WebSocket ended before anything came through it, although HTTP works. */
  socketFailed(): void {
    this.#failures++
  }

  /** Seconds for which the next poll shall wait. */
  get wait(): number {
    return this.#wait
  }

  /** A poll ended without an answer of the server. */
  pollBroke(now: number): void {
    this.#cutAt = now
  }

  /** The server was reached. */
  reached(now: number): void {
    if (now - this.#cutAt < SOON_MS) this.#wait = Math.max(SHORTEST_WAIT, Math.floor(this.#wait / 2))
    this.#cutAt = -Infinity
  }

  /** The server asked to be left alone for so many milliseconds. */
  rest(milliseconds: number, now: number): void {
    this.#restUntil = Math.max(this.#restUntil, now + milliseconds)
  }

  /** How long that still is. */
  resting(now: number): number {
    return Math.max(0, this.#restUntil - now)
  }
}
