/**
 * Which way to the server, and when to try again: a state machine without I/O and without a clock. Timers are effects with a name;
 * when one is over it comes back as an event.
 *
 *   off ─connect▶ admitting ─▶ opening(websocket) ─heard▶ live(websocket)
 *                                    │ blocked, silent            │ lost
 *                                    ▼                            ▼
 *                              opening(polling) ─heard▶ live(polling)    waiting ─retry▶ admitting
 *                                                        │ climb: a probe is heard
 *                                                        ▼
 *                                                     draining ─drained▶ live(websocket)
 *
 * A link counts from the first message that comes through it: proxies open sockets that lead nowhere. Links are known by number;
 * what an abandoned one still says is nobody's.
 */
import { BROKEN, broken, CLOSE_CODES, mayReturn } from './codes.ts'
import type { Failure } from './codes.ts'

export type Kind = 'websocket' | 'polling'
export type Timer = 'open' | 'retry' | 'climb' | 'probe' | 'drain' | 'settle'

export type State =
  /** Nobody wants a connection. */
  | { readonly name: 'off' }
  /** A session is asked for. */
  | { readonly name: 'admitting' }
  /** `instead`: how the WebSocket ended in whose place polling is tried. */
  | { readonly name: 'opening'; readonly kind: Kind; readonly link: number; readonly instead: Failure | null }
  /** `probe`: the WebSocket that is tried beside polling. */
  | { readonly name: 'live'; readonly kind: Kind; readonly link: number; readonly probe: number | null }
  /** Polling ends what is under way, so that the WebSocket may speak. */
  | { readonly name: 'draining'; readonly kind: Kind; readonly link: number; readonly probe: number }
  /** It is tried again when the timer is over. */
  | { readonly name: 'waiting'; readonly failure: Failure; readonly renew: Renewal }
  /** The server said not to come back. */
  | { readonly name: 'closed'; readonly failure: Failure }

export interface Policy {
  readonly state: State
  /** WebSockets do not get through, as far as is known. */
  readonly blocked: boolean
  /** Attempts since a connection was good for a while. */
  readonly attempts: number
  /** WebSockets that were lost since one was good for a while. */
  readonly losses: number
  /** Climbs since a WebSocket was good for a while: as far as is known they failed. */
  readonly climbs: number
  /** How often in a row a session was asked for anew because the old one was not known any more. */
  readonly renewals: number
  /** The number of the newest link. */
  readonly links: number
}

export type PolicyEvent =
  | { readonly type: 'connect' | 'disconnect' }
  /** `sockets`: the server wants them tried first. */
  | { readonly type: 'admitted'; readonly sockets: boolean }
  /** No session was to be had. */
  | { readonly type: 'refused'; readonly failure: Failure }
  | { readonly type: 'heard' | 'drained'; readonly link: number }
  | { readonly type: 'lost'; readonly link: number; readonly failure: Failure }
  | { readonly type: 'timer'; readonly timer: Timer }
  /** The network is back, or somebody looks at the page again. */
  | { readonly type: 'hint' }

/** What of the session that there is will not do any more: its access token, or all of it. */
export type Renewal = 'nothing' | 'access' | 'session'

export type PolicyEffect =
  | { readonly type: 'admit'; readonly renew: Renewal }
  | { readonly type: 'open'; readonly link: number; readonly kind: Kind; readonly probe: boolean }
  | { readonly type: 'close' | 'drain' | 'check'; readonly link: number }
  /** The probe is the link from now on: what came through it meanwhile is read now. */
  | { readonly type: 'adopt'; readonly link: number }
  /** Tell the server that the session is over. */
  | { readonly type: 'leave' }
  /** `jitter`: any time between 0 and `ms`, so that a thousand clients do not come back in one moment. */
  | { readonly type: 'start'; readonly timer: Timer; readonly ms: number; readonly jitter: boolean }
  /** All timers. One that is over where nothing waits for it does nothing, and starting it again begins anew. */
  | { readonly type: 'stop' }

export type PolicyStep = readonly [Policy, readonly PolicyEffect[]]

/** A WebSocket through which nothing has come by then is taken for blocked. */
export const OPENS_WITHIN_MS = 2000
/** Polling has a deadline for each request; this is for the case that none is made. */
const POLLS_WITHIN_MS = 20_000
/** A WebSocket that is tried beside polling keeps nobody waiting. */
const PROBES_WITHIN_MS = 10_000
const DRAINS_WITHIN_MS = 5000
/** The timer is over only where the link has answered something. */
const SETTLES_AFTER_MS = 10_000
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 10_000
const FIRST_CLIMB_MS = 5000
const LONGEST_CLIMB_MS = 60_000
/** So many WebSockets lost one after the other make a bad link: polling is slower, and bears more. */
const BAD_LINK_LOSSES = 3
/** After so many sessions in a row of which one is not known when it is first used, the server does not want this user. */
const MOST_RENEWALS = 3
/** A close code that nobody sends, as `BROKEN`: the socket was closed without one. */
const NO_CODE = 1005

export const START: Policy = {
  state: { name: 'off' },
  blocked: false,
  attempts: 0,
  losses: 0,
  climbs: 0,
  renewals: 0,
  links: 0,
}

export function decide(policy: Policy, event: PolicyEvent): PolicyStep {
  return advance(policy, policy.state, event) || [policy, []]
}

/** False where it changes nothing. */
function advance(policy: Policy, state: State, event: PolicyEvent): PolicyStep | false {
  switch (event.type) {
    case 'connect':
      return ['off', 'closed', 'waiting'].includes(state.name) && admit({ ...policy, attempts: 0, renewals: 0 })
    case 'disconnect':
      return [{ ...START, blocked: policy.blocked, links: policy.links }, [...abandon(state), { type: 'leave' }]]
    case 'admitted':
      return state.name === 'admitting' && open(policy, policy.blocked || !event.sockets ? 'polling' : 'websocket')
    case 'refused':
      return state.name === 'admitting' && end(policy, event.failure)
    case 'heard':
      return heard(policy, state, event.link)
    case 'drained':
      return state.name === 'draining' && state.link === event.link && adopt(policy, state)
    case 'lost':
      return lost(policy, state, event.link, event.failure)
    case 'timer':
      return over(policy, state, event.timer)
    case 'hint':
      return hinted(policy, state)
  }
}

function admit(policy: Policy, renew: Renewal = 'nothing'): PolicyStep {
  return [{ ...policy, state: { name: 'admitting' } }, [{ type: 'admit', renew }]]
}

function open(policy: Policy, kind: Kind, instead: Failure | null = null): PolicyStep {
  const link = policy.links + 1
  const patience = kind === 'websocket' ? OPENS_WITHIN_MS : POLLS_WITHIN_MS
  return [
    { ...policy, links: link, state: { name: 'opening', kind, link, instead } },
    [{ type: 'open', link, kind, probe: false }, start('open', patience)],
  ]
}

function heard(policy: Policy, state: State, link: number): PolicyStep | false {
  if (state.name === 'opening' && state.link === link) {
    const blocked = state.kind === 'polling' && (policy.blocked || state.instead !== null)
    // A session that is used was good: a server that dies again and again forgets one after the other.
    const renewals = Math.min(policy.renewals, 1)
    const live: Policy = { ...policy, blocked, renewals, state: { name: 'live', kind: state.kind, link, probe: null } }
    const later = state.kind === 'polling' ? [climbLater(policy)] : []
    return [live, [start('settle', SETTLES_AFTER_MS), ...later]]
  }
  if (state.name !== 'live' || state.probe !== link) return false
  const draining: State = { ...state, name: 'draining', probe: link }
  return [{ ...policy, state: draining }, [{ type: 'drain', link: state.link }, start('drain', DRAINS_WITHIN_MS)]]
}

function adopt(policy: Policy, { link, probe }: { link: number; probe: number }): PolicyStep {
  return [
    { ...policy, blocked: false, climbs: policy.climbs + 1, state: { name: 'live', kind: 'websocket', link: probe, probe: null } },
    [{ type: 'close', link }, { type: 'adopt', link: probe }, start('settle', SETTLES_AFTER_MS)],
  ]
}

function lost(policy: Policy, state: State, link: number, failure: Failure): PolicyStep | false {
  if ('probe' in state && state.probe === link) return state.name === 'live' ? probeLost(policy, state) : end(policy, failure)
  if (!('link' in state) || state.link !== link) return false
  if (state.name === 'draining') return adopt(policy, state)
  if (state.name === 'opening' && state.kind === 'websocket' && (failure.code === BROKEN || failure.code === NO_CODE)) return fallBack(policy, state, failure)
  const losses = policy.losses + Number(state.kind === 'websocket')
  return end({ ...policy, losses, blocked: policy.blocked || losses >= BAD_LINK_LOSSES }, failure)
}

/** No WebSocket gets through: polling, at once. */
function fallBack(policy: Policy, { link }: { link: number }, failure: Failure): PolicyStep {
  const [next, effects] = open(policy, 'polling', failure)
  return [next, [{ type: 'close', link }, ...effects]]
}

function probeLost(policy: Policy, state: Extract<State, { name: 'live' }>): PolicyStep {
  const next: Policy = { ...policy, climbs: policy.climbs + 1, state: { ...state, probe: null } }
  const close: PolicyEffect[] = state.probe === null ? [] : [{ type: 'close', link: state.probe }]
  return [next, [...close, climbLater(next)]]
}

/** What there is ends; the code table says whether for good. */
function end(policy: Policy, failure: Failure): PolicyStep {
  const effects = abandon(policy.state)
  // A session may be forgotten, or may have become another one's: whether the user may have a new one, `connect` tells. What was
  // refused while admitting was refused to a fresh token.
  const renew = policy.state.name === 'admitting' ? 'nothing' : renewalAfter(failure)
  const renewals = policy.renewals + Number(renew !== 'nothing')
  if (renew === 'nothing' ? !mayReturn(failure.code) : renewals > MOST_RENEWALS) {
    return [{ ...policy, state: { name: 'closed', failure } }, [...effects, { type: 'leave' }]]
  }
  if (renew !== 'nothing' && renewals === 1) {
    const [next, more] = admit({ ...policy, renewals }, renew)
    return [next, [...effects, ...more]]
  }
  const ms = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(policy.attempts, 10))
  const retry = start('retry', failure.rest || ms, failure.rest === 0)
  return [{ ...policy, renewals, attempts: policy.attempts + 1, state: { name: 'waiting', failure, renew } }, [...effects, retry]]
}

function renewalAfter(failure: Failure): Renewal {
  // It tells what is granted now; while a document is damaged nobody may write it.
  if (failure.name === 'grant_too_low' || failure.name === 'document_damaged') return 'access'
  return failure.code === CLOSE_CODES.unauthorized ? 'session' : 'nothing'
}

function over(policy: Policy, state: State, timer: Timer): PolicyStep | false {
  switch (timer) {
    case 'open': {
      if (state.name !== 'opening') return false
      const failure = broken('nothing came in time')
      return state.kind === 'websocket' ? fallBack(policy, state, failure) : end(policy, failure)
    }
    case 'retry':
      return state.name === 'waiting' && admit(policy, state.renew)
    case 'climb':
      return state.name === 'live' && state.kind === 'polling' && state.probe === null && climb(policy, state)
    case 'probe':
      return state.name === 'live' && state.probe !== null && probeLost(policy, state)
    case 'drain':
      return state.name === 'draining' && adopt(policy, state)
    case 'settle':
      return state.name === 'live' && [{ ...policy, attempts: 0, renewals: 0, ...(state.kind === 'websocket' && { losses: 0, climbs: 0 }) }, []]
  }
}

function climb(policy: Policy, state: Extract<State, { name: 'live' }>): PolicyStep {
  const probe = policy.links + 1
  return [
    { ...policy, links: probe, state: { ...state, probe } },
    [{ type: 'open', link: probe, kind: 'websocket', probe: true }, start('probe', PROBES_WITHIN_MS)],
  ]
}

function hinted(policy: Policy, state: State): PolicyStep | false {
  if (state.name === 'waiting' && state.failure.rest === 0) return admit({ ...policy, attempts: 0 }, state.renew)
  if (state.name !== 'live') return false
  const check: PolicyEffect = { type: 'check', link: state.link }
  if (state.kind === 'websocket' || state.probe !== null) return [policy, [check]]
  return [{ ...policy, climbs: 0 }, [check, start('climb', 0)]]
}

/** All links and timers of a state. */
function abandon(state: State): PolicyEffect[] {
  const links = 'link' in state ? [state.link, 'probe' in state ? state.probe : null].filter((link) => link !== null) : []
  return [{ type: 'stop' }, ...links.map((link): PolicyEffect => ({ type: 'close', link }))]
}

function climbLater({ climbs, losses }: Policy): PolicyEffect {
  const bad = losses >= BAD_LINK_LOSSES ? 2 : 0 // a link that was bad is left alone for longer
  return start('climb', Math.min(LONGEST_CLIMB_MS, FIRST_CLIMB_MS * 2 ** Math.min(climbs + bad, 10)))
}

function start(timer: Timer, ms: number, jitter = false): PolicyEffect {
  return { type: 'start', timer, ms, jitter }
}
