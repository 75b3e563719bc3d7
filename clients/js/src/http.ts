/** One request to the server. All that goes wrong is a `RequestFailed`. */
import { answeredWith, broken, nonsense } from './core/codes.ts'
import type { Failure } from './core/codes.ts'

/** After so long without an answer there will be none. */
const DEADLINE_MS = 15_000
const LONGEST_REST_MS = 60_000

export type Fetch = typeof globalThis.fetch

export class RequestFailed extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.reason)
    this.failure = failure
  }
}

export interface Ask<T> {
  readonly fetch: Fetch
  readonly url: URL
  /** What a success, or 304, means. */
  readonly read: (answer: Response) => Promise<T> | T
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined
  /** The body, in the place of bytes. */
  readonly json?: object
  readonly token?: string | undefined
  readonly stops?: readonly (AbortSignal | undefined)[]
  /** Milliseconds for which the server was asked to wait with its answer. */
  readonly wait?: number
  /** The request shall outlive the page. It is a POST, as one with a body is. */
  readonly keepalive?: boolean
}

/** Throws `RequestFailed`: without an answer in time, for an answer that is no success, and for one that cannot be read. */
export async function ask<T>(options: Ask<T>): Promise<T> {
  const { fetch, url, read, stops = [], wait = 0 } = options
  const abort = new AbortController()
  const stop = (): void => abort.abort()
  const timer = setTimeout(stop, DEADLINE_MS + wait)
  for (const signal of stops) signal?.addEventListener('abort', stop, { signal: abort.signal })
  if (stops.some((signal) => signal?.aborted)) stop()
  try {
    const answer = await fetch(url, { ...requestOf(options), signal: abort.signal, cache: 'no-store' }).catch((error: unknown) => {
      throw new RequestFailed(broken(`no answer: ${messageOf(error)}`))
    })
    if (!answer.ok && answer.status !== 304) throw new RequestFailed(answeredWith(answer.status, await problemOf(answer), restOf(answer), url))
    return await read(answer)
  } catch (error) {
    if (error instanceof RequestFailed) throw error
    // The body did not come whole, or is not what it should be.
    throw new RequestFailed((abort.signal.aborted ? broken : nonsense)(messageOf(error)))
  } finally {
    clearTimeout(timer)
    stop() // it is over; nothing listens any more
  }
}

function requestOf({ headers, json, body = json && JSON.stringify(json), token, keepalive = false }: Ask<unknown>): RequestInit {
  return {
    method: body || keepalive ? 'POST' : 'GET',
    headers: { ...headers, ...(json && { 'content-type': 'application/json' }), ...(token && { authorization: `Bearer ${token}` }) },
    body: body ?? null,
    keepalive,
  }
}

/** The failure in what was thrown, whatever that is. */
export function failureIn(error: unknown): Failure {
  return error instanceof RequestFailed ? error.failure : broken(messageOf(error))
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function problemOf(answer: Response): Promise<unknown> {
  if (!answer.headers.get('content-type')?.startsWith('application/problem+json')) return null
  return await answer.json().catch(() => null)
}

function restOf(answer: Response): number {
  return Math.min(LONGEST_REST_MS, Math.max(0, 1000 * Number(answer.headers.get('retry-after')))) || 0
}
