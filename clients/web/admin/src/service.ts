/** What the server tells administrators, and what they can have done. */

export interface Degraded {
  readonly worker: number
  readonly part: string
  readonly text: string
}

export interface Worker {
  readonly number: number
  readonly answers: boolean
  readonly restarts: number
  readonly started_at: number | null
  readonly sockets: number
  readonly documents: number
  readonly people: number
  readonly edits_per_second: number
  readonly commit_p50_ms: number | null
  readonly commit_p95_ms: number | null
  readonly pending_updates: number
  readonly pending_bytes: number
  readonly loop_lag_ms: number
  readonly memory_bytes: number | null
  readonly refused: Readonly<Record<string, number>>
}

export interface Overview {
  readonly version: string
  readonly now: number
  readonly status: 'ok' | 'degraded' | 'draining'
  readonly degraded: readonly Degraded[]
  readonly workers: readonly Worker[]
}

export interface OpenDocument {
  readonly document_id: string
  readonly state: 'open' | 'failing' | 'damaged'
  readonly reason: string | null
  readonly workers: readonly number[]
  readonly people: number
  readonly sockets: number
  readonly edits_per_minute: number
  readonly bytes: number | null
  readonly offset: number
  readonly pending_updates: number
}

export interface PresentSession {
  readonly session_id: string
  readonly transport: string
  readonly client: string | null
  readonly state: string
  readonly last_active: number
}

export interface Person {
  readonly user: { readonly id: string; readonly name: string | null; readonly colour: string | null }
  readonly sessions: readonly PresentSession[]
  readonly changed: { readonly grant: string | null; readonly changed_by: string; readonly created_at: number } | null
}

export interface Shown {
  readonly document_id: string
  readonly stored: {
    readonly offset: number
    readonly created_at: number
    readonly updated_at: number
    readonly deleted_at: number | null
    readonly log_bytes: number
  } | null
  readonly open: OpenDocument | null
  readonly people: readonly Person[]
}

export interface Version {
  readonly id: string
  readonly offset: number
  readonly kind: string
  readonly name: string | null
  readonly author: string
  readonly created_at: number
}

export interface Activity {
  readonly author: string
  readonly first_offset: number
  readonly last_offset: number
  readonly began_at: number
  readonly ended_at: number
  readonly inserted: number
  readonly deleted: number
}

/** What became of a document; empty where the server does not tell it (it was deleted, or is damaged). */
export interface Past {
  readonly versions: readonly Version[]
  readonly activity: readonly Activity[]
  /** Why there is nothing. */
  readonly missing: string
}

export interface Change {
  readonly document_id?: string
  readonly user_id?: string
  readonly session_id?: string
  readonly grant: string | null
  readonly reason?: string
}

export interface DeadWebhook {
  readonly id: string
  readonly document_id: string
  readonly type: string
  readonly died_at: number
  readonly attempts: number
  readonly reason: string
  /** Not null: it is to be sent again. */
  readonly due_at: number | null
}

export interface DeadWebhooks {
  readonly webhooks: readonly DeadWebhook[]
  /** How many there are, these and more. */
  readonly number: number
}

/** Something was not answered, or refused. The message is for people. */
export class Failure extends Error {
  /** The token is none that opens this page. */
  readonly isOfToken: boolean

  constructor(message: string, isOfToken: boolean) {
    super(message)
    this.isOfToken = isOfToken
  }
}

const PATIENCE_MS = 10_000
const SHOWN = 12

export class Service {
  readonly #api: string
  readonly #token: string

  /** `page`: the address of this page, which is below that of the server. */
  constructor(page: URL, token: string) {
    this.#api = new URL('../api/v2/', page).href
    this.#token = token
  }

  overview(): Promise<Overview> {
    return this.#ask('GET', 'admin/overview')
  }

  documents(search: string): Promise<{ documents: readonly OpenDocument[]; more: boolean }> {
    return this.#ask('GET', `admin/documents?${new URLSearchParams({ search })}`)
  }

  document(id: string): Promise<Shown> {
    return this.#ask('GET', `admin/document?${new URLSearchParams({ document_id: id })}`)
  }

  async past(id: string): Promise<Past> {
    const below = `documents/${encodeURIComponent(id)}`
    try {
      const [{ versions }, { activity }] = await Promise.all([
        this.#ask<{ versions: Version[] }>('GET', `${below}/versions?limit=${SHOWN}`),
        this.#ask<{ activity: Activity[] }>('GET', `${below}/activity?limit=${SHOWN}`),
      ])
      return { versions, activity, missing: '' }
    } catch (error) {
      if (!(error instanceof Failure) || error.isOfToken) throw error
      return { versions: [], activity: [], missing: error.message }
    }
  }

  webhooks(): Promise<DeadWebhooks> {
    return this.#ask('GET', `admin/webhooks?limit=${SHOWN}`)
  }

  async retryWebhook(id: string): Promise<void> {
    await this.#ask('POST', `admin/webhooks/${id}/retry`)
  }

  async dropWebhook(id: string): Promise<void> {
    await this.#ask('DELETE', `admin/webhooks/${id}`)
  }

  async change(change: Change): Promise<void> {
    await this.#ask('POST', 'realtime/grants', change)
  }

  async #ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#token}` }
    const signal = AbortSignal.timeout(PATIENCE_MS)
    let answer: Response
    try {
      const init = body === undefined ? {} : { body: JSON.stringify(body) }
      answer = await fetch(this.#api + path, { method, headers, signal, cache: 'no-store', ...init })
    } catch {
      throw new Failure('The server cannot be reached now.', false)
    }
    if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T
    throw await refusal(answer)
  }
}

const REFUSED: Readonly<Record<string, string>> = {
  unauthorized: 'The server does not take this token: it is malformed, has ended, or was made with another secret.',
  forbidden: 'This token is genuine, and opens no administration: that takes the grant admin on the pattern *, and a token for many uses.',
  grant_too_low: 'This token is genuine, and opens no administration: on the pattern * it has less than the grant admin.',
}

async function refusal(answer: Response): Promise<Failure> {
  const problem: { code?: unknown; detail?: unknown } = await answer.json().catch(() => ({}))
  const words = REFUSED[String(problem.code)]
  if (words !== undefined) return new Failure(words, true)
  return new Failure(typeof problem.detail === 'string' ? problem.detail : `The server answers with ${answer.status}.`, false)
}
