/** Runs the policy: timers, the session with the server, and one link at a time. It does not know what is said over the links. */
import { Admission } from './admission.ts'
import type { AdmissionOptions, Ticket } from './admission.ts'
import { broken, mayReturn } from './core/codes.ts'
import type { Failure } from './core/codes.ts'
import { decide, START } from './core/policy.ts'
import type { Kind, Policy, PolicyEffect, PolicyEvent, Renewal, State, Timer } from './core/policy.ts'
import { listenForHints } from './hints.ts'
import { failureIn } from './http.ts'
import type { Link, LinkListener, LinkMaker, Place } from './links/link.ts'
import { oneByOne } from './serial.ts'
import { Watch } from './watch.ts'

/** Who speaks over the links. `M` is what goes over them. */
export interface Speaker<M> {
  /** A link takes messages from now on, with what this ticket allows. */
  linked(ticket: Ticket): void
  /** No link does. */
  unlinked(): void
  received(message: M): void
  /** Whether an answer of the server is due. */
  due(): boolean
  /** Say something that the server must answer. */
  ask(): void
}

/** Whose connection it is. */
export interface Owner {
  /** A link takes messages from now on, with what this ticket allows; before the speaker is told. */
  linked(ticket: Ticket): void
  /** The state is another one. */
  changed(state: State, before: State): void
  /** The session could not be renewed in time; it is tried again, and the link stays. Every other failure is in a state. */
  failed(failure: Failure): void
}

export interface ConnectionOptions<M> extends AdmissionOptions {
  readonly WebSocket: typeof globalThis.WebSocket
  readonly links: Readonly<Record<Kind, LinkMaker<M>>>
  /** Something comes over a WebSocket before anything is said. Then a probe may be asked something, and must answer. */
  readonly serverSpeaksFirst: boolean
}

interface OpenLink<M> {
  readonly link: Link<M>
  readonly kind: Kind
  heard: boolean
  /** What came through a probe before it became the link. */
  kept: M[]
}

export class Connection<M> {
  readonly #options: ConnectionOptions<M>
  readonly #speaker: Speaker<M>
  readonly #owner: Owner
  readonly #admission: Admission
  readonly #links = new Map<number, OpenLink<M>>()
  readonly #timers = new Map<Timer, ReturnType<typeof setTimeout>>()
  readonly #watch: Watch
  readonly #tell = oneByOne<PolicyEvent>((event) => this.#decide(event))
  #policy: Policy = START
  /** The link over which is spoken. */
  #current: number | null = null
  /** What we say over it arrives. */
  #answered = false
  #asked = 0
  #unlisten: (() => void) | null = null
  /** Resolved when the links that `disconnect()` ends have done their work. */
  #finished: Promise<unknown> | null = null

  constructor(options: ConnectionOptions<M>, speaker: Speaker<M>, owner: Owner) {
    this.#options = options
    this.#speaker = speaker
    this.#owner = owner
    this.#admission = new Admission(options, (failure) => this.#refreshFailed(failure))
    this.#watch = new Watch(speaker, () => this.fail(broken('nothing came in time')))
  }

  get state(): State {
    return this.#policy.state
  }

  get ticket(): Ticket | null {
    return this.#admission.ticket
  }

  /** Idempotent. Begins anew where the server said not to come back. */
  connect(): void {
    this.#unlisten ??= listenForHints(() => this.#tell({ type: 'hint' }))
    this.#tell({ type: 'connect' })
  }

  disconnect(): void {
    this.#unlisten?.()
    this.#unlisten = null
    // Else the session may end before what was sent has arrived.
    if (this.#speaker.due()) this.#finish()
    this.#tell({ type: 'disconnect' })
  }

  send(message: M): void {
    if (this.#current !== null) this.#links.get(this.#current)?.link.send(message)
  }

  /** What comes over the link is of no use. */
  fail(failure: Failure): void {
    if (this.#current !== null) this.#lose(this.#current, failure)
  }

  #lose(link: number, failure: Failure): void {
    this.#close(link)
    this.#tell({ type: 'lost', link, failure })
  }

  #decide(event: PolicyEvent): void {
    const before = this.#policy.state
    const [policy, effects] = decide(this.#policy, event)
    this.#policy = policy
    for (const effect of effects) this.#do(effect)
    if (policy.state !== before) this.#owner.changed(policy.state, before)
  }

  #do(effect: PolicyEffect): void {
    switch (effect.type) {
      case 'admit':
        void this.#admit(effect.renew)
        break
      case 'open':
        this.#open(effect.link, effect.kind, effect.probe)
        break
      case 'close':
        this.#close(effect.link)
        break
      case 'drain':
        this.#unlink()
        void this.#drain(effect.link)
        break
      case 'adopt':
        this.#adopt(effect.link)
        break
      case 'check':
        this.#watch.check()
        break
      case 'leave':
        this.#asked++
        void this.#admission.leave(this.#finished)
        this.#finished = null
        break
      case 'start':
        this.#start(effect.timer, effect.jitter ? effect.ms * Math.random() : effect.ms)
        break
      case 'stop':
        for (const timer of this.#timers.values()) clearTimeout(timer)
        break
    }
  }

  async #drain(link: number): Promise<void> {
    await this.#links.get(link)?.link.drain()
    this.#tell({ type: 'drained', link })
  }

  async #admit(renew: Renewal): Promise<void> {
    const asked = ++this.#asked
    try {
      const { sockets } = await this.#admission.admit(renew, this.#policy.blocked)
      if (asked === this.#asked) this.#tell({ type: 'admitted', sockets })
      else if (this.#policy.state.name === 'off') void this.#admission.leave(null) // it was not wanted any more
    } catch (error) {
      if (asked !== this.#asked) return
      this.#tell({ type: 'refused', failure: failureIn(error) })
    }
  }

  #refreshFailed(failure: Failure): void {
    if (mayReturn(failure.code)) this.#owner.failed(failure)
    else this.fail(failure)
  }

  #open(number: number, kind: Kind, probe: boolean): void {
    const make = this.#options.links[kind]
    // What a link tells after it was closed is nobody's.
    const own = <A extends unknown[]>(tell: (one: OpenLink<M>, ...what: A) => void) => (...what: A): void => {
      const one = this.#links.get(number)
      if (one) tell(one, ...what)
    }
    const listener: LinkListener<M> = {
      opened: own(() => {
        if (!probe) this.#link(number)
        else if (this.#options.serverSpeaksFirst) this.#ask(number)
        else this.#tell({ type: 'heard', link: number })
      }),
      received: own((one, message: M, answer = true) => this.#received(number, one, message, answer)),
      lost: own((_one, failure: Failure) => this.#lose(number, failure)),
    }
    try {
      this.#links.set(number, { link: make(this.#place(), listener), kind, heard: false, kept: [] })
    } catch (error) {
      // A policy or an extension of the browser may forbid it.
      this.#tell({ type: 'lost', link: number, failure: failureIn(error) })
    }
  }

  #place(): Place {
    let last = this.#admission.ticket
    const ticket = (): Ticket => {
      last = this.#admission.ticket ?? last
      if (!last) throw new Error('no session')
      return last
    }
    return { ...this.#options, ticket }
  }

  #received(number: number, one: OpenLink<M>, message: M, answer: boolean): void {
    const current = number === this.#current
    if (current) {
      this.#answered ||= answer
      this.#watch.heard(answer)
    } else {
      one.kept.push(message)
    }
    // That it is connected is told before what has come.
    if (!one.heard && (current || answer)) {
      one.heard = true
      this.#tell({ type: 'heard', link: number })
    }
    if (current) this.#speaker.received(message)
  }

  /** Asks over this link, and no other. */
  #ask(link: number): void {
    const own = this.#current
    this.#current = link
    this.#speaker.ask()
    this.#current = own
  }

  #link(number: number): void {
    const one = this.#links.get(number)
    const ticket = this.#admission.ticket
    if (!one || !ticket) return
    this.#current = number
    this.#answered = false
    if (one.kind === 'websocket') this.#watch.start()
    this.#owner.linked(ticket)
    this.#speaker.linked(ticket)
  }

  #adopt(number: number): void {
    this.#link(number)
    const one = this.#links.get(number)
    for (const message of one?.kept.splice(0) ?? []) {
      if (this.#current === number) this.#speaker.received(message)
    }
  }

  #unlink(): void {
    if (this.#current === null) return
    this.#current = null
    this.#watch.stop()
    this.#speaker.unlinked()
  }

  #close(number: number): void {
    if (number === this.#current) this.#unlink()
    const one = this.#links.get(number)
    this.#links.delete(number)
    one?.link.close()
  }

  #finish(): void {
    const links = [...this.#links.values()]
    this.#unlink()
    this.#links.clear()
    this.#finished = Promise.all(links.map(({ link }) => link.drain()))
  }

  #start(timer: Timer, ms: number): void {
    clearTimeout(this.#timers.get(timer))
    this.#timers.set(
      timer,
      setTimeout(() => {
        // Some proxies pass on what the server says, and swallow what we do: such a link is good for nothing, however long it lasts.
        if (timer === 'settle' && !this.#answered) this.#start(timer, ms)
        else this.#tell({ type: 'timer', timer })
      }, ms),
    )
  }
}
