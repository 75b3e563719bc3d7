/** One request to the server. All that goes wrong is a `RequestFailed`. */
import { answeredWith, broken, nonsense } from './core/codes.ts'
import type { Failure } from './core/codes.ts'

/** After so long without an answer there will be none. */
const DEADLINE_MS = 15_000
const LONGEST_REST_MS = 60_000

export type Fetch = typeof globalThis.fetch

export class RequestFailed extends Error {
  override readonly name: string = 'RequestFailed'
  readonly failure: Failure

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.reason, options)
    this.failure = failure
  }
}

export interface Ask {
  readonly fetch: Fetch
  readonly url: URL
  readonly method?: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array<ArrayBuffer>
  readonly token?: string
  readonly stop?: AbortSignal
  /** Milliseconds for which the server was asked to wait with its answer. */
  readonly wait?: number
  /** The request shall outlive the page. */
  readonly keepalive?: boolean
}

/** A success, or 304. Throws `RequestFailed`. The deadline is for the answer's body, too. */
export async function ask({ fetch, url, method = 'GET', headers, body, token, stop, wait = 0, keepalive = false }: Ask): Promise<Response> {
  const deadline = AbortSignal.timeout(DEADLINE_MS + wait)
  let answer: Response
  try {
    answer = await fetch(url, {
      method,
      headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      ...(body === undefined ? {} : { body }),
      signal: stop ? AbortSignal.any([stop, deadline]) : deadline,
      cache: 'no-store',
      keepalive,
    })
  } catch (error) {
    throw new RequestFailed(broken(`no answer: ${messageOf(error)}`), { cause: error })
  }
  if (answer.ok || answer.status === 304) return answer
  throw new RequestFailed(answeredWith(answer.status, await problemOf(answer), restOf(answer)))
}

/** What `read` makes of an answer. Throws `RequestFailed` when the body does not come whole, or is not what it should be. */
export async function readAs<T>(answer: Response, read: (answer: Response) => Promise<T>): Promise<T> {
  try {
    return await read(answer)
  } catch (error) {
    throw new RequestFailed(nonsense(`an answer of the server cannot be read: ${messageOf(error)}`), { cause: error })
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
  return Math.min(LONGEST_REST_MS, 1000 * Number(answer.headers.get('retry-after') ?? 0)) || 0
}
