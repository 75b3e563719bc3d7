/** What the page needs of an editor. */
import type { LiveDocument } from '../live.ts'

export interface MountedEditor {
  /** A document that the server refuses is still shown, to be read and copied. */
  setEditable(editable: boolean): void
}

export interface EditorModule {
  /** Puts the editor into `parent`. The awareness of `live` already says who we are. */
  mount(parent: HTMLElement, live: LiveDocument): MountedEditor
}
