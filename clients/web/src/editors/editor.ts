/** What the page needs of an editor. */
import type { LiveDocument } from '../live.ts'

export interface MountedEditor {
  /** Whether the text can be read and copied only, from now on. May be called again. */
  lock(locked: boolean): void
}

export interface EditorModule {
  /** Puts the editor into `parent`. The awareness of `live` already says who we are. */
  mount(parent: HTMLElement, live: LiveDocument): MountedEditor
}
