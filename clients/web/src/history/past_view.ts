/** What the panel needs of a view that shows the document at a moment. */
import type { DiffRoot, Mark } from './tree.ts'

/** How a mark is shown. */
export interface MarkLook {
  /** `#rrggbb` */
  readonly colour: string
  /** Whose it is and when, in words. */
  readonly words: string
}

export interface PastView {
  /** `follow`: what differs from what was shown before is scrolled into sight. */
  show(root: DiffRoot | null, follow: boolean): void
  /** In the order of the document. */
  readonly marks: readonly Mark[]
  /** Scrolls to the mark with this index and lets it stand out. */
  point(index: number): void
  destroy(): void
}

export interface PastViewModule {
  /** `look` says how a mark is shown. */
  create(parent: HTMLElement, look: (mark: Mark) => MarkLook): PastView
}
