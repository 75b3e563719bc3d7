/** What has happened to a document, in order, and how to find one's way in it. Pure. */
import type { Activity, Version } from './service.ts'

/** A film is as long as this at most; a short history has so long for each entry. */
const LONGEST_FILM_MS = 20_000
const ENTRY_MS = 250

/** More stripes than this could not be told apart. */
const STRIPES = 240

export interface Stripe {
  readonly author: string
  /** Shares of the time line, from 0 to 1. */
  readonly from: number
  readonly to: number
}

export class Story {
  /** Newest first, without gaps. */
  readonly groups: readonly Activity[]
  /** Newest moment first. */
  readonly versions: readonly Version[]

  constructor(groups: readonly Activity[], versions: readonly Version[]) {
    this.groups = groups
    this.versions = versions
  }

  /** The oldest moment: before everything that is told. */
  get first(): number {
    return Math.max(0, (this.groups.at(-1)?.first_offset ?? 1) - 1)
  }

  /** The newest moment. */
  get head(): number {
    return this.groups[0]?.last_offset ?? 0
  }

  /** With what has come: `newest` are the groups from the newest on; those that it does not reach are as they were. */
  continued(newest: readonly Activity[], versions: readonly Version[]): Story {
    const reached = newest.at(-1)?.first_offset ?? 0
    return new Story([...newest, ...this.groups.filter((group) => group.last_offset < reached)], versions)
  }

  /** The newest page does not reach what is known: what is between has to be asked for. */
  misses(newest: readonly Activity[]): boolean {
    return this.groups.length > 0 && (newest.at(-1)?.first_offset ?? 0) > this.head + 1
  }

  /** Who was at work at a moment; null: before the beginning. */
  groupAt(offset: number): Activity | null {
    let [low, high] = [0, this.groups.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.groups[middle]?.first_offset ?? 0) <= offset) high = middle
      else low = middle + 1
    }
    const found = this.groups[low]
    return found && offset <= found.last_offset ? found : null
  }

  /** Where the next group of entries ends, or where the one before this one does. */
  step(offset: number, direction: 1 | -1): number {
    const ends = this.groups.map((group) => group.last_offset)
    const next = direction > 0 ? ends.findLast((end) => end > offset) : ends.find((end) => end < offset)
    return next ?? (direction > 0 ? this.head : this.first)
  }

  /** The moment with which to compare what was changed up to `offset`: the version before it, or the beginning. */
  before(offset: number): number {
    return this.versionBefore(offset)?.offset ?? this.first
  }

  versionBefore(offset: number): Version | null {
    return this.versions.find((version) => version.offset < offset && version.offset >= this.first) ?? null
  }

  /** Where an offset is on the time line, from 0 to 1. */
  place(offset: number): number {
    return this.head === this.first ? 1 : (offset - this.first) / (this.head - this.first)
  }

  /** Who was at work along the time line. */
  stripes(): Stripe[] {
    const entries = this.head - this.first
    const count = Math.min(STRIPES, entries)
    const stripes: { author: string; from: number; to: number }[] = []
    for (let at = 0; at < count; at += 1) {
      const author = this.groupAt(this.first + Math.ceil(((at + 0.5) / count) * entries))?.author ?? ''
      const last = stripes.at(-1)
      if (last?.author === author) last.to = (at + 1) / count
      else stripes.push({ author, from: at / count, to: (at + 1) / count })
    }
    return stripes
  }
}

/** How long a film of so many entries is, in ms. */
export function filmLength(entries: number): number {
  return Math.min(LONGEST_FILM_MS, entries * ENTRY_MS)
}
