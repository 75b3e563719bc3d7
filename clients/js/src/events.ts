/** A typed emitter. */

export type Events = Readonly<Record<string, unknown>>
type Listener<T> = (event: T) => void

/** `E` maps the names of events to what listeners are given. */
export class Emitter<E extends object> {
  readonly #listeners = new Map<keyof E, Set<Listener<never>>>()

  on<K extends keyof E>(name: K, listener: Listener<E[K]>): this {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners.add(listener as Listener<never>))
    return this
  }

  off<K extends keyof E>(name: K, listener: Listener<E[K]>): this {
    this.#listeners.get(name)?.delete(listener as Listener<never>)
    return this
  }

  once<K extends keyof E>(name: K, listener: Listener<E[K]>): this {
    const first = (event: E[K]): void => {
      this.off(name, first)
      listener(event)
    }
    return this.on(name, first)
  }

  /** @internal A listener that throws does not keep the others, or the connection, from going on: its error is the page's. */
  emit<K extends keyof E>(name: K, event: E[K]): void {
    for (const listener of Array.from(this.#listeners.get(name) ?? [])) guard(() => (listener as Listener<E[K]>)(event))
  }
}

/** Does what calls the page: what is thrown is the page's error, told as an uncaught one, and stops nothing here. */
export function guard(work: () => void): void {
  try {
    work()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
