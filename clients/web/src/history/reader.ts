/** Reads a document's story, and reads on when something happens in the document. */
import type { LiveDocument } from '../live.ts'
import { HistoryFailure } from './service.ts'
import type { Activity, HistoryService } from './service.ts'
import { Story } from './story.ts'

const PAGE = 1000
/** What is new is nearly always in so many groups. */
const NEWEST = 50

/** After an edit, so that one who types causes no request with each key. */
const PAUSE_MS = 600
/** What others see at once may come a little later to the disk, and into the history. */
const TRIES = 4

export interface Listener {
  tell(story: Story): void
  fail(error: unknown): void
}

export class Reader {
  readonly #service: HistoryService
  readonly #live: LiveDocument
  readonly #listener: Listener
  readonly #ends: (() => void)[]
  #story: Story | null = null
  #reading: Promise<void> | null = null
  #again = false
  #timer = 0
  #tries = 0
  #closed = false

  constructor(service: HistoryService, live: LiveDocument, listener: Listener) {
    this.#service = service
    this.#live = live
    this.#listener = listener
    let saved = live.status.saved
    const edited = (): void => {
      this.#tries = TRIES
      this.#soon()
    }
    const ended = live.onStatus(() => {
      const before = saved
      saved = live.status.saved
      if (saved === 'saved' && before !== saved) edited()
    })
    this.#ends = [live.onEdit(edited), ended]
  }

  /** Fulfilled when it was told, or told that it failed, as it is now or later. */
  async read(): Promise<void> {
    if (this.#reading) {
      this.#again = true
      return await this.#reading
    }
    this.#reading = this.#readAll()
    await this.#reading
    this.#reading = null
  }

  close(): void {
    this.#closed = true
    window.clearTimeout(this.#timer)
    for (const end of this.#ends) end()
  }

  #soon(): void {
    if (this.#timer || this.#closed) return
    this.#timer = window.setTimeout(() => {
      this.#timer = 0
      void this.#readOn()
    }, PAUSE_MS)
  }

  async #readOn(): Promise<void> {
    const before = this.#story?.head
    await this.read()
    this.#tries -= 1
    if (this.#story?.head === before && this.#tries > 0) this.#soon()
  }

  async #readAll(): Promise<void> {
    this.#again = false
    try {
      await this.#readOnce()
    } catch (error) {
      if (!this.#closed) this.#failed(error)
    }
    if (this.#again && !this.#closed) await this.#readAll()
  }

  async #readOnce(): Promise<void> {
    const known = this.#story?.groups.length ? this.#story : null
    if (!known && this.#live.isUnwritten) return this.#tell(new Story([], []))
    const [{ activity, next }, versions] = await Promise.all([
      this.#service.activity(known ? NEWEST : PAGE, null),
      this.#service.versions(),
    ])
    if (known && !known.misses(activity)) return this.#tell(known.continued(activity, versions))
    this.#tell(new Story(activity, versions))
    await this.#readEarlier(activity, next)
  }

  async #readEarlier(newer: readonly Activity[], before: number | null): Promise<void> {
    if (before === null || this.#closed) return
    const { activity, next } = await this.#service.activity(PAGE, before)
    const groups = [...newer, ...activity]
    this.#tell(new Story(groups, this.#story?.versions ?? []))
    await this.#readEarlier(groups, next)
  }

  #tell(story: Story): void {
    this.#story = story
    if (!this.#closed) this.#listener.tell(story)
  }

  #failed(error: unknown): void {
    const empty = error instanceof HistoryFailure && error.code === 'document_not_found'
    if (empty) this.#tell(new Story([], []))
    else this.#listener.fail(error)
  }
}
