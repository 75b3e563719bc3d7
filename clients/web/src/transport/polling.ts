/**
 * A socket for y-websocket's provider that is none: it sends by POST and reads by long polls.
 *
 * Any request that fails ends it, and the provider comes back with a new one and syncs again. So no answer that may have been
 * lost on the way needs to be asked for twice, and nothing is lost with it.
 */
import { uploadIn } from '../frames.ts'
import { batchSize } from './envelope.ts'
import type { Message } from './envelope.ts'
import { asFailure, BROKEN } from './failure.ts'
import type { Network } from './network.ts'
import { placeOf, Session } from './session.ts'
import type { News } from './session.ts'
import { CLOSED, closeEvent, CONNECTING, OPEN } from './socket.ts'
import type { Socket } from './socket.ts'
import { acknowledge, acknowledgementIn, Tally } from './tally.ts'

/** Between two polls: where others write all the time, news is fetched so often. */
const PAUSE_MS = 50
/** A window that nobody sees asks so often, and holds no connection: browsers have six, for all windows together. */
const UNSEEN_MS = 4000

export class PollingSocket implements Socket {
  binaryType: BinaryType = 'arraybuffer'
  onopen: Socket['onopen'] = null
  onmessage: Socket['onmessage'] = null
  onclose: Socket['onclose'] = null
  onerror: Socket['onerror'] = null
  readonly #network: Network
  readonly #stop = new AbortController()
  readonly #tally = new Tally()
  #state: number = CONNECTING
  #session: Session | null = null
  #waiting: Message[] = []
  #underWay: readonly Message[] = []
  #sending = false
  #reading = false
  #refreshing = 0

  constructor(url: string | URL, network: Network) {
    this.#network = network
    void this.#untilItFails(this.#open(url))
  }

  get readyState(): number {
    return this.#state
  }

  /** Goes with everything else that was sent before the next request leaves. */
  send(message: Message): void {
    if (this.#state !== OPEN) return
    this.#waiting.push(message.slice())
    if (this.#sending) return
    this.#sending = true
    queueMicrotask(() => void this.#untilItFails(this.#send()))
  }

  /** Says goodbye to the server. No event comes after it. */
  close(): void {
    if (this.#state === CLOSED) return
    const unanswered = [...this.#underWay, ...this.#waiting]
    this.#finish(unanswered.some((message) => uploadIn(message)) ? unanswered : [])
  }

  async #open(url: string | URL): Promise<void> {
    await pause(this.#network.resting(Date.now()))
    if (this.#state !== CONNECTING) return
    const session = await Session.open(placeOf(url), this.#stop.signal) // throws when it was closed meanwhile
    this.#network.reached(Date.now())
    this.#session = session
    this.#state = OPEN
    this.#refreshLater(session)
    this.onopen?.(new Event('open'))
  }

  /** Sends what waits, request after request, until nothing does. */
  async #send(): Promise<void> {
    while (this.#session && this.#state === OPEN && this.#waiting.length > 0) {
      this.#underWay = this.#waiting.splice(0, batchSize(this.#waiting))
      const news = await this.#session.exchange(this.#underWay)
      const uploads = this.#underWay.map(uploadIn).filter((upload) => upload !== null)
      this.#underWay = []
      const durable = news.messages.map(acknowledgementIn).find(Boolean)?.count ?? 0
      this.#deliver(news, this.#tally.answered(uploads, durable))
      if (!this.#reading) void this.#untilItFails(this.#read(this.#session, news.cursor))
      this.#reading = true
    }
    this.#sending = false
  }

  async #read(session: Session, from: string): Promise<void> {
    let cursor = from
    while (this.#state === OPEN) {
      const unseen = globalThis.document?.hidden ?? false
      const news = await session.poll(cursor, unseen ? 0 : this.#network.wait).catch((error: unknown) => {
        if (this.#state === OPEN && asFailure(error).code === BROKEN) this.#network.pollBroke(Date.now())
        throw error
      })
      cursor = news.cursor
      this.#deliver(news, 0)
      await pause(unseen ? UNSEEN_MS : PAUSE_MS)
    }
  }

  #refreshLater(session: Session): void {
    const renew = async (): Promise<void> => {
      await session.refresh()
      this.#refreshLater(session)
    }
    this.#refreshing = setTimeout(() => void this.#untilItFails(renew()), session.refreshIn) as unknown as number
  }

  /** `durable`: what an acknowledgement among the news says of this connection. */
  #deliver({ messages }: News, durable: number): void {
    for (const message of messages) {
      if (this.#state !== OPEN) return
      const said = acknowledgementIn(message)
      const { buffer } = said ? acknowledge({ count: durable, offset: said.offset }) : message
      this.onmessage?.(new MessageEvent('message', { data: buffer }))
    }
  }

  async #untilItFails(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      if (this.#state === CLOSED) return
      const { code, message, rest } = asFailure(error)
      this.#network.rest(rest, Date.now())
      this.#finish([])
      this.onerror?.(new Event('error'))
      this.onclose?.(closeEvent(code, message))
    }
  }

  /** Whatever the reason: the session must not be thought to be here for longer. */
  #finish(rest: readonly Message[]): void {
    this.#state = CLOSED
    clearTimeout(this.#refreshing)
    this.#stop.abort()
    this.#session?.end(rest)
  }
}

async function pause(milliseconds: number): Promise<void> {
  if (milliseconds > 0) await new Promise((done) => setTimeout(done, milliseconds))
}
