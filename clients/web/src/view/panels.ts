/** The two panels. Each gets its editor when it is first shown; the other one's files are fetched ahead of that. */
import { EDITORS } from '../address.ts'
import type { EditorKind } from '../address.ts'
import type { EditorModule } from '../editors/editor.ts'
import type { LiveDocument } from '../live.ts'
import { byId, create } from './dom.ts'

const LOADERS: Record<EditorKind, () => Promise<EditorModule>> = {
  markdown: () => import('../editors/markdown.ts'),
  rich: () => import('../editors/rich.ts'),
}

/** After so long both editors are fetched, so that changing the tab works without a server too. */
const PREFETCH_MS = 1500

/** Returns a function to call when a panel is shown. The awareness of its document must say who we are by then. */
export function panels(documents: Record<EditorKind, LiveDocument>): (editor: EditorKind) => void {
  const begun = new Set<EditorKind>()
  window.setTimeout(() => {
    for (const editor of EDITORS) void load(editor)
  }, PREFETCH_MS)
  return (editor) => {
    if (begun.has(editor)) return
    begun.add(editor)
    void mount(editor, documents[editor])
  }
}

async function mount(editor: EditorKind, live: LiveDocument): Promise<void> {
  const panel = byId(`panel-${editor}`, HTMLElement)
  const module = await load(editor)
  panel.ariaBusy = 'false'
  if (!module) {
    panel.append(create('p', 'failed', 'This editor could not be loaded. Reload the page to try again.'))
    return
  }
  const view = module.mount(panel, live)
  const lock = (): void => view.lock(live.status.locked)
  live.onStatus(lock)
  lock()
}

/** The editor's files, or null when they cannot be had. */
async function load(editor: EditorKind): Promise<EditorModule | null> {
  try {
    return await LOADERS[editor]()
  } catch {
    return null // the browser has said why, in its console
  }
}
