/** The film: moves from one moment to another one in a time that suits their distance. */
import { filmLength } from './story.ts'

const FRAME_MS = 80

export interface FilmOptions {
  /** The moment where it begins, and the one where it ends. */
  readonly from: number
  readonly to: number
  /** So many entries would take the whole time. */
  readonly of: number
  readonly show: (offset: number) => void
  readonly ended: () => void
}

export class Film {
  #timer = 0

  get playing(): boolean {
    return this.#timer !== 0
  }

  play({ from, to, of, show, ended }: FilmOptions): void {
    this.stop()
    const length = (filmLength(of) * (to - from)) / of
    const began = performance.now()
    let shown = from
    this.#timer = window.setInterval(() => {
      const done = Math.min(1, (performance.now() - began) / length)
      const offset = from + Math.floor(done * (to - from))
      if (done === 1) this.stop()
      if (offset !== shown) show(offset)
      shown = offset
      if (done === 1) ended()
    }, FRAME_MS)
  }

  stop(): void {
    window.clearInterval(this.#timer)
    this.#timer = 0
  }
}
