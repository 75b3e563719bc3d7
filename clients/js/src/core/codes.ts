/** Why a connection ended: the table that server, clients and docs share (`spec/close_codes.json`; a test compares them). Pure. */

/** The numbers of the table, by name, without those of Hocuspocus' protocol. 4400 to 4499 mean that trying again changes nothing. */
export const CLOSE_CODES = {
  normal: 1000,
  going_away: 1001,
  service_restart: 1012,
  malformed_frame: 4400,
  unauthorized: 4401,
  forbidden: 4403,
  bad_document_id: 4404,
  contradicting_content: 4409,
  document_deleted: 4410,
  message_too_large: 4413,
  hostile_update: 4422,
  edit_not_kept: 4424,
  internal_error: 4500,
  store_unavailable: 4503,
  missing_dependencies: 4504,
  document_rebuilt: 4505,
  new_epoch: 4506,
  idle: 4508,
  too_fast: 4529,
} as const

export type CloseName = keyof typeof CLOSE_CODES

/** What browsers report when a connection broke without a word. Nobody sends it. */
export const BROKEN = 1006

const NAMES = Object.entries(CLOSE_CODES)

/** What codes of HTTP problems mean: those of the table, and those that have another name there. Not an object: any text may come. */
const OF_PROBLEMS: ReadonlyMap<string, number> = new Map<string, number>([
  ...NAMES,
  ['draining', CLOSE_CODES.service_restart],
  ['grant_too_low', CLOSE_CODES.forbidden],
  ['origin_refused', CLOSE_CODES.forbidden],
  ['too_large', CLOSE_CODES.message_too_large],
])

/** What a connection ended with, or could not begin with. */
export interface Failure {
  /** A close code. */
  readonly code: number
  /** The code of the HTTP problem, or the close code's in the table; else `closed`, `broken`, `nonsense` or `token`. */
  readonly name: string
  /** For people. */
  readonly reason: string
  /** The server asked to be left alone for so many milliseconds. */
  readonly rest: number
  /** The place in a request of operations that is to blame. */
  readonly index?: unknown
  readonly field?: unknown
}

/** Whether the code table says to try again. */
export function mayReturn(code: number): boolean {
  return code < 4400 || code > 4499
}

/** A WebSocket was closed so. */
export function closedWith(code: number, reason: string): Failure {
  return { code, name: NAMES.find(([, number]) => number === code)?.[0] ?? 'closed', reason: reason || `closed: ${code}`, rest: 0 }
}

/** The connection broke, or something on the way answered in the server's place. */
export function broken(reason: string, rest = 0): Failure {
  return { code: BROKEN, name: 'broken', reason, rest }
}

/** `what` came and is not the protocol. It is tried again: the table says nothing about it, and what answered may not be the server. */
export function nonsense(what: string): Failure {
  return { ...broken(`cannot be read: ${what}`), name: 'nonsense' }
}

/**
 * An HTTP answer that is no success. `problem`: its body where it says to be a problem, else null; `url`: what was asked. Only the server's own word is
 * final: anybody on the way may answer 403.
 */
export function answeredWith(status: number, problem: unknown, rest: number, url: URL): Failure {
  const name = textOf(problem, 'code')
  const reason = textOf(problem, 'detail') ?? `HTTP status ${status} from ${url}`
  if (name === undefined) return broken(reason, rest)
  const final = status >= 400 && status < 500 && status !== 408 && status !== 429
  const code = OF_PROBLEMS.get(name) ?? (final ? CLOSE_CODES.malformed_frame : CLOSE_CODES.store_unavailable)
  const { index, field } = problem as { readonly index?: unknown; readonly field?: unknown }
  return { code, name, reason, rest, index, field }
}

/** The text in a field of a value that may be anything. */
export function textOf(value: unknown, key: string): string | undefined {
  const found = (Object(value) as Readonly<Record<string, unknown>>)[key]
  return typeof found === 'string' ? found : undefined
}
