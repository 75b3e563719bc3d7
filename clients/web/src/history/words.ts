/** Times, authors and counts in words. Pure, but for the time zone. */
import type { Look } from './controls.ts'
import type { Activity, Changes, Version } from './service.ts'
import type { Story } from './story.ts'
import type { Mark } from './tree.ts'

const TIME = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })
const SECOND = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const YEAR = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
const COUNT = new Intl.NumberFormat('en-GB')
const GUEST = 'guest-'

/** What to call an author. The demo makes ids of names; who gave none has a random one. */
export function nameOf(author: string | null): string {
  if (author === null) return 'Somebody'
  if (/^guest-[\da-f]{8}$/u.test(author)) return `Guest ${author.slice(GUEST.length, GUEST.length + 4)}`
  return author.startsWith(GUEST) ? author.slice(GUEST.length) : author
}

/** "14:02" today, else "28 Nov, 14:02". */
export function when(time: number, now: number): string {
  return dated(time, now, TIME)
}

/** The same with seconds: which moment of a minute it is. */
export function moment(time: number, now: number): string {
  return dated(time, now, SECOND)
}

function dated(time: number, now: number, clock: Intl.DateTimeFormat): string {
  const [then, today] = [new Date(time), new Date(now)]
  if (YEAR.format(then) === YEAR.format(today)) return clock.format(then)
  return `${(then.getFullYear() === today.getFullYear() ? DAY : YEAR).format(then)}, ${clock.format(then)}`
}

/** "14:02–14:09" */
export function span({ began_at: began, ended_at: ended }: Activity, now: number): string {
  const [from, to] = [when(began, now), when(ended, now)]
  if (from === to) return from
  return `${from}–${YEAR.format(began) === YEAR.format(ended) ? TIME.format(ended) : to}`
}

/** "+312 −40" */
export function counts({ inserted, deleted }: { inserted: number; deleted: number }): string {
  const parts = [inserted > 0 && `+${COUNT.format(inserted)}`, deleted > 0 && `−${COUNT.format(deleted)}`].filter(Boolean)
  return parts.join(' ') || '±0'
}

/** The same, to be read out. */
export function countsAloud({ inserted, deleted }: { inserted: number; deleted: number }): string {
  const parts = [inserted > 0 && `${COUNT.format(inserted)} inserted`, deleted > 0 && `${COUNT.format(deleted)} deleted`]
  return parts.filter(Boolean).join(', ') || 'nothing inserted or deleted'
}

const KINDS: Record<Version['kind'], string> = { named: 'Version', automatic: 'Automatic', restore: 'Before restoring' }

export function versionName({ kind, name }: Version): string {
  return name ?? KINDS[kind]
}

const DEEDS: Record<Mark['change'], string> = { insert: 'Inserted', delete: 'Deleted', format: 'Changed' }

/** "Inserted by Ana Lima, 14:02" */
export function deed({ change, author, time }: Mark, now: number): string {
  return `${DEEDS[change]} by ${nameOf(author)}${time === null ? '' : `, ${when(time, now)}`}`
}

/** What is shown, over it. */
export function titleOf({ from, to }: Changes, how: Look, story: Story, now: number): string {
  if (how === 'was') return to.created_at === null ? 'The beginning: nothing is there yet' : `As it was, ${at(to.created_at, now)}`
  const until = to.offset === story.head ? 'now' : at(to.created_at, now)
  const version = how === 'before' ? story.versionBefore(to.offset) : null
  const since = version?.offset === from.offset ? `“${versionName(version)}” (${at(from.created_at, now)})` : at(from.created_at, now)
  return `Changes from ${since} to ${until}`
}

function at(time: number | null, now: number): string {
  return time === null ? 'the beginning' : moment(time, now)
}
