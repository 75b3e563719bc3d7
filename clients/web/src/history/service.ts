/** What the server tells of a document's past, and what can be asked of it. */
import { guestToken } from '../identity.ts'
import type { DiffRoot } from './tree.ts'

/** A place in the document's log: the document as it was behind the entry with this offset. */
export interface Moment {
  readonly offset: number
  /** Milliseconds since 1970; null: of the empty document at the beginning. */
  readonly created_at: number | null
}

/** What one person did without a pause. Counts are letters, and 1 for each other thing. */
export interface Activity {
  readonly author: string
  readonly first_offset: number
  readonly last_offset: number
  readonly began_at: number
  readonly ended_at: number
  readonly entries: number
  readonly inserted: number
  readonly deleted: number
  readonly cause: { readonly kind: 'restore' | 'undo' } | null
}

export interface Version {
  readonly id: string
  readonly offset: number
  readonly kind: 'named' | 'automatic' | 'restore'
  readonly name: string | null
  readonly author: string
  readonly created_at: number
}

/** What changed from one moment to a later one, in one root of the document; null: the root is not there. */
export interface Changes {
  readonly from: Moment
  readonly to: Moment
  readonly root: DiffRoot | null
}

/** Where the history is asked for, and in whose name. */
export interface Place {
  /** Where cowrite is served; ends with a slash. */
  readonly server: string
  readonly document: string
  /** The root that the editor shows. */
  readonly root: string
  readonly author: () => string
}

export interface Restored {
  /** The version that keeps what was there before; null: there was nothing to do, or it was done before. */
  readonly version: string | null
}

/** Something was not answered, or refused. The message is for people. */
export class HistoryFailure extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const PATIENCE_MS = 20_000
const BUSY = 'The server is busy. Try again in a moment.'
const WORDS: Readonly<Record<string, string>> = {
  unreachable: 'The server cannot be reached now.',
  unavailable: BUSY,
  overloaded: BUSY,
  draining: BUSY,
  document_not_found: 'Nothing has been written here yet.',
  document_deleted: 'This document has been deleted.',
  history_forgotten: 'What was there at that time has been deleted for good.',
  history_replaced: 'The history of this document was replaced meanwhile. Close it and open it again.',
  history_too_costly: 'This document is too tangled to be compared.',
  unknown_moment: 'There is no such moment in the history.',
  version_not_found: 'Somebody has deleted this version.',
  restored_meanwhile: 'Somebody else restored something at the same time. Look at what is there now, and try again.',
  document_damaged: 'This document is damaged on the server: it can be read, as far as it is whole, and not changed.',
  grant_too_low: 'You may read this document, but not change it.',
}

export function meaningOf(code: string, detail: string): string {
  return WORDS[code] ?? (detail || 'The server did not say why.')
}

export class HistoryService {
  readonly #place: Place

  constructor(place: Place) {
    this.#place = place
  }

  /** One page, newest first. `next`: the `before` of the page behind it; null: there is none. */
  activity(limit: number, before: number | null): Promise<{ activity: Activity[]; next: number | null }> {
    return this.#ask('GET', 'activity', { limit, before })
  }

  /** All of them, newest moment first. `before`: those behind that page. */
  async versions(before: string | null = null): Promise<Version[]> {
    const page = await this.#ask<{ versions: Version[]; next: string | null }>('GET', 'versions', { limit: 1000, before })
    return page.next === null ? page.versions : [...page.versions, ...(await this.versions(page.next))]
  }

  async changes(from: number, to: number): Promise<Changes> {
    const query = { from: `offset:${from}`, to: `offset:${to}`, format: 'json', root: this.#place.root }
    const answer = await this.#ask<Omit<Changes, 'root'> & { roots: DiffRoot[] }>('GET', 'diff', query)
    return { from: answer.from, to: answer.to, root: answer.roots[0] ?? null }
  }

  /** `offset` null: the present, whatever it is when the server is asked. */
  name(name: string, offset: number | null): Promise<Version> {
    return this.#ask('POST', 'versions', {}, offset === null ? { name } : { name, at: `offset:${offset}` })
  }

  rename({ id }: Version, name: string): Promise<Version> {
    return this.#ask('PATCH', `versions/${id}`, {}, { name })
  }

  async remove({ id }: Version): Promise<void> {
    await this.#ask('DELETE', `versions/${id}`)
  }

  /** `to`: a moment as the server reads it. Asked again with the same `id` it is not done twice. */
  restore(to: string, id: string): Promise<Restored> {
    return this.#ask('POST', 'restore', {}, { to, id })
  }

  async #ask<T>(method: string, path: string, query: Record<string, string | number | null> = {}, body?: object): Promise<T> {
    const url = new URL(`api/v2/documents/${encodeURIComponent(this.#place.document)}/${path}`, this.#place.server)
    for (const [name, value] of Object.entries(query)) if (value !== null) url.searchParams.set(name, String(value))
    const token = guestToken(this.#place.author())
    const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }) }
    const answer = await reach(url, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    if (!answer.ok) throw await failureOf(answer)
    return (answer.status === 204 ? null : await answer.json()) as T
  }
}

async function reach(url: URL, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...request, signal: AbortSignal.timeout(PATIENCE_MS) })
  } catch {
    throw new HistoryFailure('unreachable', meaningOf('unreachable', ''))
  }
}

async function failureOf(answer: Response): Promise<HistoryFailure> {
  try {
    const { code, detail } = (await answer.json()) as { code: unknown; detail: unknown }
    return new HistoryFailure(String(code), meaningOf(String(code), typeof detail === 'string' ? detail : ''))
  } catch {
    return new HistoryFailure('nonsense', `The server answered with the status ${answer.status}.`) // a proxy's page, perhaps
  }
}
