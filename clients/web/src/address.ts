/** Which document and which editor a link means, and the other way round. Pure. */

export const EDITORS = ['markdown', 'rich'] as const
export type EditorKind = (typeof EDITORS)[number]

/** Names of the roots that the editors show; other Yjs clients use the same to edit the same text. */
export const ROOTS: Readonly<Record<EditorKind, string>> = { markdown: 'codemirror', rich: 'default' }

export interface Address {
  readonly name: string
  readonly editor: EditorKind
}

const DEFAULT_NAME = 'demo'

/** The server takes ids of up to 255 characters; the rest is for the editor's suffix. */
export const LONGEST_NAME = 200

/** Reads `#name`, or else `?doc=…`, and `?editor=…`. Without a name the document is "demo". */
export function readAddress(page: URL): Address {
  const named = fragmentOf(page) || (page.searchParams.get('doc') ?? '')
  const editor = page.searchParams.get('editor')
  const visible = named.replaceAll(/\p{Cc}/gu, '').trim()
  return {
    name: Array.from(visible).slice(0, LONGEST_NAME).join('') || DEFAULT_NAME,
    editor: EDITORS.find((kind) => kind === editor) ?? 'markdown',
  }
}

/** A link to `address` on the same page: what the Share button copies. */
export function linkTo(address: Address, page: URL): URL {
  const link = new URL(page.pathname, page)
  link.searchParams.set('doc', address.name)
  link.searchParams.set('editor', address.editor)
  return link
}

/** Each editor has a document of its own: their formats differ. */
export function documentId({ name, editor }: Address): string {
  return `${name}.${editor}`
}

/** Where cowrite is served: beside this page, so under the same prefix. */
export function serverUrl(page: URL): string {
  return new URL('.', new URL(page.pathname, page)).href
}

function fragmentOf(page: URL): string {
  const fragment = page.hash.slice(1)
  try {
    return decodeURIComponent(fragment)
  } catch {
    return fragment // a percent sign that encodes nothing, typed by hand
  }
}
