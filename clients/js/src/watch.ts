/** Whether a WebSocket is still alive: a connection that broke silently looks like one on which nobody types. */

const LOOKS_EVERY_MS = 1000
/** After so long without a word something is asked that must be answered; sooner while an answer is due anyway. */
const QUIET_MS = 15_000
const QUIET_WHEN_DUE_MS = 4000
const ANSWERS_WITHIN_MS = 8000

export interface Watched {
  /** An answer of the server is due. */
  due(): boolean
  /** Ask something that must be answered. */
  ask(): void
}

export class Watch {
  readonly #watched: Watched
  readonly #gone: () => void
  #heardAt = Date.now()
  #askedAt: number | null = null
  #timer: ReturnType<typeof setInterval> | undefined

  /** `gone`: there was no answer. */
  constructor(watched: Watched, gone: () => void) {
    this.#watched = watched
    this.#gone = gone
  }

  start(): void {
    this.stop()
    this.heard()
    this.#timer = setInterval(() => this.#look(), LOOKS_EVERY_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  heard(): void {
    this.#heardAt = Date.now()
    this.#askedAt = null
  }

  /** Ask at once. */
  check(): void {
    if (this.#timer === undefined || this.#askedAt !== null) return
    this.#askedAt = Date.now()
    this.#watched.ask()
  }

  #look(): void {
    const now = Date.now()
    if (this.#askedAt !== null) {
      if (now - this.#askedAt >= ANSWERS_WITHIN_MS) this.#gone()
    } else if (now - this.#heardAt >= (this.#watched.due() ? QUIET_WHEN_DUE_MS : QUIET_MS)) {
      this.check()
    }
  }
}
