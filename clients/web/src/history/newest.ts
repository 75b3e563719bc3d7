/**
 * Asks for one thing at a time. Of what is wanted meanwhile only the newest is asked for; what was had is kept. Pure.
 *
 * What comes is shown also when something newer is wanted by then: else a film over a slow connection would show nothing.
 */

export interface NewestOptions<T> {
  readonly get: (key: string) => Promise<T>
  readonly show: (value: T, key: string) => void
  readonly fail: (error: unknown, key: string) => void
  /** How large a value is, in any unit. */
  readonly size: (value: T) => number
  /** So much is kept; what was not shown for longest goes first. */
  readonly room: number
}

export class Newest<T> {
  readonly #options: NewestOptions<T>
  readonly #kept = new Map<string, T>()
  #filled = 0
  #wanted: string | null = null
  #busy = false
  #closed = false

  constructor(options: NewestOptions<T>) {
    this.#options = options
  }

  /** `show` is called with it, at once where it is kept, unless something else is wanted before it is asked for. */
  want(key: string): void {
    const kept = this.#kept.get(key)
    this.#wanted = key
    if (kept !== undefined) this.#show(key, kept)
    else if (!this.#busy) void this.#work()
  }

  /** Nothing is wanted any more. */
  drop(): void {
    this.#wanted = null
  }

  close(): void {
    this.#closed = true
    this.#wanted = null
  }

  async #work(): Promise<void> {
    if (this.#wanted === null || this.#closed) return
    this.#busy = true
    await this.#getOne(this.#wanted)
    this.#busy = false
    await this.#work()
  }

  async #getOne(key: string): Promise<void> {
    const kept = this.#kept.get(key)
    if (kept !== undefined) {
      this.#show(key, kept)
      return
    }
    try {
      const value = await this.#options.get(key)
      this.#keep(key, value)
      if (this.#wanted === key) this.#wanted = null
      else if (this.#wanted === null) return // what is wanted is shown already, or nothing is
      if (!this.#closed) this.#options.show(value, key)
    } catch (error) {
      if (this.#wanted !== key) return
      this.#wanted = null
      this.#options.fail(error, key)
    }
  }

  #show(key: string, value: T): void {
    this.#wanted = null
    this.#kept.delete(key) // to the end of the order
    this.#kept.set(key, value)
    this.#options.show(value, key)
  }

  #keep(key: string, value: T): void {
    this.#kept.set(key, value)
    this.#filled += this.#options.size(value)
    for (const [oldest, gone] of this.#kept) {
      if (this.#filled <= this.#options.room || oldest === key) return
      this.#kept.delete(oldest)
      this.#filled -= this.#options.size(gone)
    }
  }
}
