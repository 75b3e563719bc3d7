/** How long to wait for news, where something on the way may cut what takes long. */
import { failureIn } from '../http.ts'

/** Seconds for which the server is asked to wait. */
const LONGEST_WAIT = 20
const SHORTEST_WAIT = 2
/** Between two polls: where others write all the time, news is fetched so often. */
const PAUSE_MS = 50
/** A page that nobody sees asks so often, and holds no connection: browsers have six for all pages of a server. */
const UNSEEN_MS = 4000

export class LongPolls {
  #wait = LONGEST_WAIT

  /** Milliseconds to rest until the next poll. */
  get rest(): number {
    return unseen() ? UNSEEN_MS : PAUSE_MS
  }

  /** Polls; once more, and without waiting, when that broke. Throws what the second one throws, but nothing when stopped. */
  async next(poll: (wait: number) => Promise<void>, stop: AbortSignal): Promise<void> {
    try {
      await poll(unseen() ? 0 : this.#wait).catch(async (error: unknown) => {
        if (stop.aborted || failureIn(error).name !== 'broken') throw error
        await poll(0)
        this.#wait = Math.max(SHORTEST_WAIT, this.#wait / 2)
      })
    } catch (error) {
      if (!stop.aborted) throw error
    }
  }
}

export async function pause(ms: number, stop: AbortSignal): Promise<void> {
  if (stop.aborted) return
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms)
    stop.addEventListener('abort', done, { once: true })
    function done(): void {
      clearTimeout(timer)
      stop.removeEventListener('abort', done)
      resolve()
    }
  })
}

function unseen(): boolean {
  return globalThis.document?.visibilityState === 'hidden'
}
