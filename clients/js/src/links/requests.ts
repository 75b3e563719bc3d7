/** What both kinds of polling have in common: a life of requests, of which reading can be ended alone. */
import { ask, failureIn } from '../http.ts'
import type { Ask } from '../http.ts'
import type { Link, LinkListener, Place } from './link.ts'
import { LongPolls, pause } from './long_polls.ts'

type RequestOptions<T> = Omit<Ask<T>, 'fetch' | 'url' | 'token' | 'stops'> & {
  readonly query?: Readonly<Record<string, string>>
  readonly stop?: AbortSignal
}

export abstract class Requests<M> implements Link<M> {
  protected readonly place: Place
  protected readonly listener: LinkListener<M>
  readonly #stop = new AbortController()
  readonly #reading = new AbortController()
  readonly #polls = new LongPolls()
  /** It takes messages, and reads. */
  protected open = true

  constructor(place: Place, listener: LinkListener<M>) {
    this.place = place
    this.listener = listener
    queueMicrotask(() => listener.opened())
  }

  abstract send(message: M): void

  /** Resolves when everything that was sent is answered. */
  protected abstract answered(): Promise<void>

  async drain(): Promise<void> {
    this.open = false
    this.#reading.abort()
    await this.answered()
  }

  close(): void {
    this.open = false
    this.#stop.abort()
  }

  /** Asks for news again and again; `poll` is given for how many seconds to wait, and tells what it got. */
  protected async read(poll: (wait: number, stop: AbortSignal) => Promise<void>): Promise<void> {
    const stop = this.#reading.signal
    // Reads follow one another, each from where the last one ended.
    /* oxlint-disable no-await-in-loop */
    while (this.open) {
      await this.#polls.next((wait) => poll(wait, stop), stop)
      await pause(this.#polls.rest, stop)
    }
    /* oxlint-enable no-await-in-loop */
  }

  /** One request for this document. */
  protected async ask<T>(path: string, { query, stop, ...more }: RequestOptions<T>): Promise<T> {
    const { api, document, ticket, fetch } = this.place
    const url = new URL(path, api)
    url.search = String(new URLSearchParams({ document_id: document, ...query }))
    return await ask({ fetch, url, token: ticket().access, stops: [this.#stop.signal, ...(stop ? [stop] : [])], ...more })
  }

  /** Does it; a failure ends the link. */
  protected async unlessItFails(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      this.close()
      this.listener.lost(failureIn(error))
    }
  }
}
