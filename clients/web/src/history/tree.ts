/** The merged tree of two moments, as the server gives it; and what the panel reads off it. Pure. */

export type Change = 'equal' | 'insert' | 'delete' | 'format' | 'replace'
export type Attributes = Readonly<Record<string, unknown>>

/** Whose a change is; null where that was forgotten. */
export interface Credit {
  readonly author?: string | null
  readonly created_at?: number | null
}

export interface DiffRun extends Credit {
  readonly change: Change
  readonly text?: string
  readonly node?: DiffNode
  readonly attributes?: Attributes
}

export interface DiffNode extends Credit {
  readonly kind: string
  readonly change?: Change
  readonly tag?: string
  readonly attributes?: Attributes
  readonly attribute_changes?: Readonly<Record<string, Credit>>
  readonly runs?: readonly DiffRun[]
  readonly children?: readonly DiffNode[]
}

export interface DiffRoot extends DiffNode {
  readonly changed: boolean
}

export type ShownChange = 'insert' | 'delete' | 'format'

/** A change as it is shown: what it is, whose, and when. */
export interface Mark {
  readonly change: ShownChange
  readonly author: string | null
  /** Milliseconds since 1970. */
  readonly time: number | null
}

export function markOf(part: Credit & { readonly change?: Change }): Mark | null {
  const { change = 'equal', author = null, created_at: time = null } = part
  return change === 'equal' ? null : { change: change === 'replace' ? 'insert' : change, author, time }
}

/** The mark of a node: what became of it, or else the last change of its attributes. */
export function markOfNode(node: DiffNode): Mark | null {
  const changes = Object.values(node.attribute_changes ?? {})
  const last = changes.toSorted((one, other) => (other.created_at ?? 0) - (one.created_at ?? 0))[0]
  return markOf(node) ?? (last ? markOf({ ...last, change: 'format' }) : null)
}

/** A marked stretch of a text; positions are UTF-16 code units. */
export interface MarkedRange {
  readonly from: number
  readonly to: number
  readonly mark: Mark
}

/** A plain text with what came and what went in it, and where they are. */
export function markedText(root: DiffRoot | null): { text: string; ranges: MarkedRange[] } {
  const ranges: MarkedRange[] = []
  let text = ''
  for (const run of root?.runs ?? []) {
    const from = text.length
    text += (run.text ?? '').replaceAll(/\r\n?/gu, '\n') // as the editor shows it
    const mark = markOf(run)
    if (mark && text.length > from) ranges.push({ from, to: text.length, mark })
  }
  return { text, ranges }
}

/** How much somebody changed between two moments. */
export interface Share {
  readonly author: string | null
  readonly inserted: number
  readonly deleted: number
}

/** Who changed how much, in letters; whoever changed most comes first. */
export function sharesOf(root: DiffRoot | null): Share[] {
  const shares = new Map<string | null, { author: string | null; inserted: number; deleted: number }>()
  const count = (mark: Mark | null, letters: number): void => {
    if (!mark) return
    const share = shares.get(mark.author) ?? { author: mark.author, inserted: 0, deleted: 0 }
    shares.set(mark.author, share)
    if (mark.change === 'insert') share.inserted += letters
    if (mark.change === 'delete') share.deleted += letters
  }
  const walk = (node: DiffNode): void => {
    count(markOfNode(node), 0)
    for (const run of node.runs ?? []) {
      count(markOf(run), run.text?.length ?? 0)
      if (run.node) walk(run.node)
    }
    for (const child of node.children ?? []) walk(child)
  }
  if (root) walk(root)
  return [...shares.values()].toSorted((one, other) => other.inserted + other.deleted - one.inserted - one.deleted)
}
