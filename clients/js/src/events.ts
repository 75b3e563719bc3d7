/** A typed emitter. */
import { applicationError } from './status.ts'
import type { ErrorEvent } from './status.ts'

type Listener<T> = (event: T) => void

/** `E` maps the names of events to what listeners are given. */
export class Emitter<E extends { readonly error: ErrorEvent }> {
  /** Of each listener, whether it is for the next event only. */
  readonly #listeners = new Map<keyof E, Map<Listener<never>, boolean>>()

  /** `once`: for the next event only. */
  on<K extends keyof E>(name: K, listener: Listener<E[K]>, once = false): this {
    const listeners = this.#listeners.get(name) ?? new Map<Listener<never>, boolean>()
    this.#listeners.set(name, listeners.set(listener, once))
    return this
  }

  off<K extends keyof E>(name: K, listener: Listener<E[K]>): this {
    this.#listeners.get(name)?.delete(listener)
    return this
  }

  once<K extends keyof E>(name: K, listener: Listener<E[K]>): this {
    return this.on(name, listener, true)
  }

  /** @internal A listener that throws does not keep the others, or the connection, from going on. */
  emit<K extends keyof E>(name: K, event: E[K]): void {
    for (const [listener, once] of Array.from(this.#listeners.get(name) ?? [])) {
      if (once) this.off(name, listener as Listener<E[K]>)
      this.guard(() => (listener as Listener<E[K]>)(event), name)
    }
  }

  /** Does what calls the page. What is thrown is the page's error and stops nothing here: in Node an uncaught one would end the process. */
  protected guard(work: () => void, during?: keyof E): void {
    try {
      work()
    } catch (error) {
      if ('reportError' in globalThis) reportError(error)
      // oxlint-disable-next-line no-console -- whoever listens for errors is who threw
      else if (during === 'error') console.error(error)
      else this.emit('error', applicationError(error))
    }
  }
}
