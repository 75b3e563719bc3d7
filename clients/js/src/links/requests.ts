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

  /** Asks for news, for which to wait so many seconds, and tells what it got. */
  protected abstract poll(wait: number, stop: AbortSignal): Promise<void>

  /** Polls from now on, again and again. */
  protected read(): void {
    void this.unlessItFails(this.#pollOn(this.#reading.signal))
  }

  async #pollOn(stop: AbortSignal): Promise<void> {
    // Reads follow one another, each from where the last one ended.
    /* oxlint-disable no-await-in-loop */
    while (this.open) {
      await this.#polls.next((wait) => this.poll(wait, stop), stop)
      await pause(this.#polls.rest, stop)
    }
    /* oxlint-enable no-await-in-loop */
  }

  /** One request for this document. */
  protected async ask<T>(path: string, { query, stop, ...more }: RequestOptions<T>): Promise<T> {
    const { api, document, ticket, fetch } = this.place
    const url = new URL(path, api)
    url.search = String(new URLSearchParams({ document_id: document, ...query }))
    return await ask({ fetch, url, token: ticket().access, stops: [this.#stop.signal, stop], ...more })
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
