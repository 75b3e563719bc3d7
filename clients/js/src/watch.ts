/** Whether a WebSocket is still alive: a connection that broke silently looks like one on which nobody types. */

const LOOKS_EVERY_MS = 1000
/** After so long without a word something is asked that must be answered; sooner while an answer is due anyway. */
const QUIET_MS = 15_000
const QUIET_WHEN_DUE_MS = 4000
const ANSWERS_WITHIN_MS = 8000
/** The same where other things keep coming: an answer may be behind many of them. */
const ANSWERS_AMONG_OTHERS_WITHIN_MS = 24_000

export interface Watched {
  /** An answer of the server is due. */
  due(): boolean
  /** Ask something that must be answered. */
  ask(): void
}

export class Watch {
  readonly #watched: Watched
  readonly #gone: () => void
  // Not Date.now(): clocks are set.
  #heardAt = 0
  #answeredAt = 0
  #askedAt: number | null = null
  #timer: ReturnType<typeof setInterval> | undefined

  /** `gone`: there was no answer. */
  constructor(watched: Watched, gone: () => void) {
    this.#watched = watched
    this.#gone = gone
  }

  start(): void {
    this.stop()
    this.heard(true)
    this.#timer = setInterval(() => this.#look(), LOOKS_EVERY_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** `answer`: and it shows that what we say arrives. */
  heard(answer: boolean): void {
    this.#heardAt = performance.now()
    if (!answer) return
    this.#answeredAt = this.#heardAt
    this.#askedAt = null
  }

  /** Ask at once. */
  check(): void {
    if (this.#timer === undefined || this.#askedAt !== null) return
    this.#askedAt = performance.now()
    this.#watched.ask()
  }

  #look(): void {
    const now = performance.now()
    const [quiet, late] = [now - this.#heardAt, now - (this.#askedAt ?? now)]
    if (late >= ANSWERS_AMONG_OTHERS_WITHIN_MS || Math.min(late, quiet) >= ANSWERS_WITHIN_MS) this.#gone()
    else if (this.#watched.due() ? now - this.#answeredAt >= QUIET_WHEN_DUE_MS : quiet >= QUIET_MS) this.check()
  }
}
