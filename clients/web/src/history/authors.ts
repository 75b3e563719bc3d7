/** Which colour stands for which author. Pure. */
import { COLOURS } from '../identity.ts'

const UNKNOWN = '#6b7280'

export interface Present {
  readonly name: string
  readonly colour: string
}

/** Whoever is here has their own colour; the others get one that nobody has yet, as long as there is one. */
export class Authors {
  readonly #given = new Map<string, string>()
  readonly #present: () => readonly Present[]

  /** `present`: who is here now, oneself first. */
  constructor(present: () => readonly Present[]) {
    this.#present = present
  }

  /** `#rrggbb` */
  colour(author: string | null): string {
    if (author === null) return UNKNOWN
    const present = this.#present()
    const here = present.find(({ name }) => `guest-${name}` === author)
    if (here) return here.colour
    const given = this.#given.get(author) ?? this.#choose(author, present)
    this.#given.set(author, given)
    return given
  }

  #choose(author: string, present: readonly Present[]): string {
    const taken = new Set([...this.#given.values(), ...present.map(({ colour }) => colour)])
    const start = [...author].reduce((sum, sign) => (sum * 31 + (sign.codePointAt(0) ?? 0)) % 65_521, 7) % COLOURS.length
    const inOrder = [...COLOURS.slice(start), ...COLOURS.slice(0, start)]
    return inOrder.find((colour) => !taken.has(colour)) ?? inOrder[0] ?? UNKNOWN
  }
}
