/** The time line: a handle to drag, who was at work along it, the versions on it, and the film. */
import { create } from '../view/dom.ts'
import type { Authors } from './authors.ts'
import type { Activity } from './service.ts'
import { filmLength } from './story.ts'
import type { Story } from './story.ts'
import { moment, nameOf, when } from './words.ts'

const FRAME_MS = 80

export interface Timeline {
  readonly element: HTMLElement
  /** Where the handle is: an offset. */
  readonly at: number
  readonly playing: boolean
  /** Shows a history. Who looks at the present goes on looking at it. */
  tell(story: Story): void
  /** Moves the handle; a film ends. */
  go(offset: number): void
  /** The exact time of the moment under the handle is known now; null: it is that of the empty document. */
  timed(time: number | null): void
  /** What stands over the line: whose moment it is, and when. */
  readonly words: string
  focus(): void
  close(): void
}

/** `onMove` is called whenever another moment is under the handle, by hand or by the film. */
export function timeline(authors: Authors, onMove: (offset: number) => void): Timeline {
  const range = create('input', 'time')
  range.type = 'range'
  range.ariaLabel = 'Moment'
  range.id = 'history-time'
  const stripes = create('div', 'stripes')
  const ticks = create('div', 'ticks')
  const play = create('button', 'play')
  const who = create('span', 'who')
  const place = create('span', 'muted place')
  const element = create(
    'div',
    'timeline',
    create('p', 'at', who, place),
    create('div', 'line', play, create('div', 'rail', stripes, ticks, range)),
  )
  let story: Story | null = null
  let time: number | null | undefined
  let film = 0

  function show(): void {
    if (!story) return
    const offset = range.valueAsNumber
    const group = story.groupAt(offset)
    const now = offset === story.head && group !== null
    const author = group ? nameOf(group.author) : 'The beginning'
    const words = [now ? 'Now' : author, now ? `last by ${author}` : momentWords(group, offset)].filter(Boolean).join(', ')
    const entry = `edit ${offset - story.first} of ${story.head - story.first}`
    who.textContent = words
    who.style.setProperty('--author', group ? authors.colour(group.author) : 'transparent')
    place.textContent = entry
    range.ariaValueText = `${words}, ${entry}`
  }

  /** Its time: to the second where it is known, else about. */
  function momentWords(group: Activity | null, offset: number): string {
    if (!group || time === null) return ''
    if (time !== undefined) return moment(time, Date.now())
    return offset === group.last_offset ? moment(group.ended_at, Date.now()) : when(group.began_at, Date.now())
  }

  function move(offset: number): void {
    range.valueAsNumber = offset
    time = undefined
    show()
    onMove(offset)
  }

  function label(words: string): void {
    play.ariaLabel = words
    play.title = words
    play.toggleAttribute('data-playing', film !== 0)
  }

  function stop(): void {
    window.clearInterval(film)
    film = 0
    label('Play the history')
  }

  function start(): void {
    if (!story || story.head === story.first) return
    const shown = story
    const from = range.valueAsNumber === shown.head ? shown.first : range.valueAsNumber
    const length = filmLength(shown.head - shown.first)
    const began = performance.now() - (length * (from - shown.first)) / (shown.head - shown.first)
    if (from !== range.valueAsNumber) move(from)
    film = window.setInterval(() => {
      const done = Math.min(1, (performance.now() - began) / length)
      const offset = shown.first + Math.floor(done * (shown.head - shown.first))
      if (done === 1) stop()
      if (offset !== range.valueAsNumber) move(offset)
    }, FRAME_MS)
    label('Pause')
  }

  play.addEventListener('click', () => (film ? stop() : start()))
  range.addEventListener('input', () => {
    stop()
    move(range.valueAsNumber)
  })
  range.addEventListener('keydown', (event) => {
    const direction = { PageUp: 1, PageDown: -1 }[event.key] as 1 | -1 | undefined
    if (!direction || !story || event.altKey || event.ctrlKey || event.metaKey) return
    event.preventDefault()
    stop()
    move(story.step(range.valueAsNumber, direction))
  })
  stop()

  return {
    element,
    get at() {
      return range.valueAsNumber
    },
    get playing() {
      return film !== 0
    },
    tell(next) {
      const followed = story === null || (range.valueAsNumber === story.head && film === 0)
      const before = story === null ? Number.NaN : range.valueAsNumber
      story = next
      range.min = String(next.first)
      range.max = String(next.head)
      range.valueAsNumber = followed ? next.head : Math.max(before, next.first)
      play.disabled = next.head === next.first
      range.disabled = play.disabled
      paintStripes(stripes, next, authors)
      paintTicks(ticks, next)
      if (range.valueAsNumber === before) show()
      else move(range.valueAsNumber)
    },
    go(offset) {
      stop()
      move(offset)
    },
    timed(exact) {
      time = exact
      show()
    },
    get words() {
      return who.textContent ?? ''
    },
    focus: () => (range.disabled ? element.closest('aside')?.querySelector<HTMLElement>('button') : range)?.focus(),
    close: stop,
  }
}

function paintStripes(stripes: HTMLElement, story: Story, authors: Authors): void {
  const stops = story.stripes().map(({ author, from, to }) => {
    const colour = authors.colour(author)
    return `${colour} ${(from * 100).toFixed(2)}% ${(to * 100).toFixed(2)}%`
  })
  stripes.style.backgroundImage = stops.length > 0 ? `linear-gradient(90deg, ${stops.join(', ')})` : 'none'
}

function paintTicks(ticks: HTMLElement, story: Story): void {
  const shown = story.versions.filter(({ offset }) => offset >= story.first && offset <= story.head)
  ticks.replaceChildren(
    ...shown.map(({ offset, kind }) => {
      const tick = create('span', `tick ${kind}`)
      tick.style.left = `${(story.place(offset) * 100).toFixed(2)}%`
      return tick
    }),
  )
}
