/** A request that failed, as a socket would have been closed. Pure. */
import closeCodes from '../../../../spec/close_codes.json'

/** What browsers give a WebSocket whose connection broke. */
export const BROKEN = 1006

const NUMBERS: ReadonlyMap<string, number> = new Map(closeCodes.map(({ name, number }) => [name, number]))
/** Codes of problems that have another name in the table of close codes. */
const OTHER_NAMES: Readonly<Record<string, string>> = {
  too_large: 'message_too_large',
  grant_too_low: 'forbidden',
  draining: 'service_restart',
}
const LONGEST_REST_MS = 60_000

/** Ends a connection. Codes from 4400 to 4499 mean: for good. */
export class Failure extends Error {
  readonly code: number
  /** Not before so many milliseconds may it be tried again. */
  readonly rest: number

  constructor(code: number, reason: string, rest = 0) {
    super(reason)
    this.code = code
    this.rest = rest
  }
}

/**
 * What an answer that is no success means. Only the server's own word (a problem with a `code`) is final: anybody on the way may
 * answer 403. `renewable`: the request showed an access token, which ends by itself; whether one may have another, `connect` tells.
 */
export function failureOf(status: number, problem: unknown, retryAfter: string | null, renewable: boolean): Failure {
  const [name, detail] = [field(problem, 'code'), field(problem, 'detail') ?? `HTTP status ${status}`]
  const rest = Math.min(LONGEST_REST_MS, 1000 * Number(retryAfter ?? 0)) || 0
  if (name === undefined) return new Failure(BROKEN, detail, rest)
  const known = renewable && name === 'unauthorized' ? 'idle' : (OTHER_NAMES[name] ?? name)
  return new Failure(NUMBERS.get(known) ?? NUMBERS.get('store_unavailable') ?? BROKEN, detail, rest)
}

/** The same for whatever was thrown: requests that got no answer throw, too. */
export function asFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure(BROKEN, error instanceof Error ? error.message : '')
}

function field(value: unknown, key: string): string | undefined {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
  return typeof found === 'string' ? found : undefined
}
