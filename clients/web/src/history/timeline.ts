/** The time line: a handle to drag, who was at work along it, the versions on it, and the film. */
import { create } from '../view/dom.ts'
import type { Authors } from './authors.ts'
import { Film } from './film.ts'
import { button } from './lists.ts'
import type { Activity } from './service.ts'
import { Story } from './story.ts'
import { moment, nameOf, when } from './words.ts'

export class Timeline {
  readonly element: HTMLElement
  readonly #authors: Authors
  readonly #onMove: () => void
  readonly #film = new Film()
  readonly #range: HTMLInputElement = create('input', 'time')
  readonly #stripes: HTMLElement = create('div', 'stripes')
  readonly #ticks: HTMLElement = create('div', 'ticks')
  readonly #play: HTMLButtonElement = button('play', '', () => (this.#film.playing ? this.#stop() : this.#start()))
  readonly #who: HTMLElement = create('span', 'who')
  readonly #place: HTMLElement = create('span', 'muted place')
  /** null: nothing was told yet. */
  #story: Story | null = null
  /** When the moment under the handle was; undefined: not known exactly; null: it is the empty document. */
  #time: number | null | undefined

  /** `onMove` is called whenever another moment is under the handle, by hand or by the film. */
  constructor(authors: Authors, onMove: () => void) {
    this.#authors = authors
    this.#onMove = onMove
    this.#range.type = 'range'
    this.#range.ariaLabel = 'Moment'
    this.#range.addEventListener('input', () => this.go(this.at))
    this.#range.addEventListener('keydown', (event) => this.#step(event))
    const rail = create('div', 'rail', this.#stripes, this.#ticks, this.#range)
    const words = create('p', 'at', this.#who, this.#place)
    this.element = create('div', 'timeline', words, create('div', 'line', this.#play, rail))
    this.#stop()
  }

  /** Where the handle is: an offset. */
  get at(): number {
    return this.#range.valueAsNumber
  }

  get playing(): boolean {
    return this.#film.playing
  }

  /** What stands over the line: whose moment it is, and when. */
  get words(): string {
    return this.#who.textContent ?? ''
  }

  /** Shows a history. Who looks at the present goes on looking at it. */
  tell(story: Story): void {
    const before = this.#story ? this.at : null
    const followed = before === null || (before === this.#story?.head && !this.playing)
    this.#story = story
    this.#range.min = String(story.first)
    this.#range.max = String(story.head)
    this.#range.valueAsNumber = followed ? story.head : Math.max(before, story.first)
    this.#play.disabled = story.head === story.first
    this.#stripes.style.backgroundImage = stripesOf(story, this.#authors)
    this.#ticks.replaceChildren(...ticksOf(story))
    if (this.at === before) this.#show()
    else this.#move(this.at)
  }

  /** Moves the handle; a film ends. */
  go(offset: number): void {
    this.#stop()
    this.#move(offset)
  }

  /** The exact time of the moment under the handle is known now; null: that of the empty document. */
  timed(time: number | null): void {
    this.#time = time
    this.#show()
  }

  focus(): void {
    this.#range.focus()
  }

  close(): void {
    this.#film.stop()
  }

  #move(offset: number): void {
    this.#range.valueAsNumber = offset
    this.#time = undefined
    this.#show()
    this.#onMove()
  }

  /** By Page Up and Page Down; the range itself knows the other keys. */
  #step(event: KeyboardEvent): void {
    const direction = event.key === 'PageUp' ? 1 : event.key === 'PageDown' ? -1 : null
    if (direction === null || !this.#story || event.altKey || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    this.go(this.#story.step(this.at, direction))
  }

  #start(): void {
    const { first, head } = this.#story ?? new Story([], [])
    if (head === first) return
    if (this.at === head) this.#move(first)
    this.#film.play({
      from: this.at,
      to: head,
      of: head - first,
      show: (offset) => this.#move(offset),
      ended: () => this.#stop(),
    })
    this.#label('Pause')
  }

  #stop(): void {
    this.#film.stop()
    this.#label('Play the history')
  }

  #label(words: string): void {
    this.#play.ariaLabel = words
    this.#play.title = words
    this.#play.toggleAttribute('data-playing', this.playing)
  }

  #show(): void {
    if (!this.#story) return
    const { first, head } = this.#story
    const group = this.#story.groupAt(this.at)
    const author = group ? nameOf(group.author) : head === 0 ? 'Nothing is written yet' : 'The beginning'
    const words = this.at === head && group ? `Now, last by ${author}` : [author, this.#when(group)].filter(Boolean).join(', ')
    const place = `edit ${this.at - first} of ${head - first}`
    this.#who.textContent = words
    this.#who.style.setProperty('--author', group ? this.#authors.colour(group.author) : 'transparent')
    this.#place.textContent = place
    this.#range.ariaValueText = `${words}, ${place}`
  }

  /** To the second where it is known, else about. */
  #when(group: Activity | null): string {
    if (!group || this.#time === null) return ''
    if (this.#time !== undefined) return moment(this.#time, Date.now())
    return this.at === group.last_offset ? moment(group.ended_at, Date.now()) : when(group.began_at, Date.now())
  }
}

/** As a picture, because hundreds of elements would be slow. */
function stripesOf(story: Story, authors: Authors): string {
  const stops = story.stripes().map(({ author, from, to }) => {
    return `${authors.colour(author)} ${(from * 100).toFixed(2)}% ${(to * 100).toFixed(2)}%`
  })
  return stops.length > 0 ? `linear-gradient(90deg, ${stops.join(', ')})` : 'none'
}

function ticksOf(story: Story): HTMLElement[] {
  const shown = story.versions.filter(({ offset }) => offset >= story.first && offset <= story.head)
  return shown.map(({ offset, kind }) => {
    const tick = create('span', `tick ${kind}`)
    tick.style.left = `${(story.place(offset) * 100).toFixed(2)}%`
    return tick
  })
}
