/** One document: who is in it, what can be done about that, and what became of it. */
import { ask } from '../../src/history/question.ts'
import { byId, create } from '../../src/view/dom.ts'
import { replaceRows } from './rows.ts'
import { Failure } from './service.ts'
import type { Activity, Change, Past, Person, PresentSession, Service, Shown, Version } from './service.ts'
import { ago, bytes, count } from './words.ts'

const GRANTS = ['read', 'comment', 'write', 'admin'] as const
const LATER = 'A token that your application makes for them from now on lets them in again: there, too, their right has to be taken away.'

export class DocumentPanel {
  readonly #element: HTMLElement = byId('document', HTMLElement)
  readonly #title: HTMLElement = create('h2', 'id')
  readonly #about: HTMLElement = create('p', 'muted')
  readonly #warning: HTMLElement = create('p', 'warn')
  readonly #people: HTMLElement = create('ul', 'persons')
  readonly #nobody: HTMLElement = create('p', 'muted', 'Nobody is in it now.')
  readonly #past: HTMLElement = create('div', 'past')
  readonly #changed: () => void
  #opened: { service: Service; id: string; offset: number | null } | null = null

  /** `changed`: something was done, and is to be seen soon. */
  constructor(changed: () => void) {
    this.#changed = changed
    const close = create('button', 'plain', 'Close')
    close.addEventListener('click', () => {
      this.close()
      byId('search', HTMLElement).focus()
      this.#changed()
    })
    this.#title.id = 'document-title'
    const people = create('h3', '', 'Who is in it')
    this.#element.replaceChildren(
      create('div', 'head', this.#title, close),
      this.#about,
      this.#warning,
      people,
      this.#nobody,
      this.#people,
      this.#past,
    )
  }

  /** The id of the document that is shown. */
  get shown(): string | null {
    return this.#opened?.id ?? null
  }

  async open(service: Service, id: string): Promise<void> {
    this.#opened = { service, id, offset: null }
    this.#title.textContent = id
    for (const part of [this.#about, this.#warning, this.#people, this.#past]) part.replaceChildren()
    this.#element.hidden = false
    this.#element.focus()
    this.#element.scrollIntoView({ block: 'nearest' })
    this.#changed()
  }

  close(): void {
    this.#opened = null
    this.#element.hidden = true
  }

  /** Asks anew. Rejected with a {@link Failure} about the token or the connection. */
  async refresh(service: Service): Promise<void> {
    const opened = this.#opened
    if (opened === null) return
    let shown: Shown
    try {
      shown = await service.document(opened.id)
    } catch (error) {
      if (!(error instanceof Failure) || error.isOfToken) throw error
      if (opened === this.#opened) this.#say(error.message)
      return
    }
    if (opened !== this.#opened) return
    this.#tell(shown)
    const offset = shown.stored?.offset ?? 0
    if (offset === opened.offset || shown.stored === null) return
    const past = await service.past(opened.id)
    if (opened !== this.#opened) return
    opened.offset = offset
    this.#past.replaceChildren(...pastOf(past))
  }

  #say(message: string): void {
    if (this.#warning.textContent !== message) this.#warning.textContent = message
  }

  #tell({ stored, open, people }: Shown): void {
    const now = Date.now()
    const told = stored === null ? ['Nothing is written in it yet.'] : [`Offset ${stored.offset}`, `changed ${ago(stored.updated_at, now)}`, `log ${bytes(stored.log_bytes)}`]
    if (open !== null && open.state !== 'damaged') told.push(`state ${bytes(open.bytes)}`, count(open.sockets, 'socket', 'sockets'), `worker ${open.workers.join(', ')}`)
    else if (open === null) told.push('not open')
    this.#about.textContent = told.join(' · ')
    const deleted = stored === null || stored.deleted_at === null ? '' : `Deleted ${ago(stored.deleted_at, now)}.`
    this.#say(open === null || open.reason === null ? deleted : `${open.state === 'damaged' ? 'Damaged' : 'Cannot be stored'}: ${open.reason}`)
    this.#nobody.hidden = people.length > 0
    if (!(document.activeElement instanceof HTMLSelectElement)) replaceRows(this.#people, people.map((person) => this.#person(person, now)))
  }

  #person(person: Person, now: number): HTMLElement {
    const { user, changed, sessions } = person
    const name = user.name ?? user.id
    const id = create('small', 'muted id', user.name === null || user.name === user.id ? '' : user.id)
    const state = changed === null ? '' : `${changed.grant ?? 'revoked'} since ${ago(changed.created_at, now)}, by ${changed.changed_by}`
    const line = create('div', 'person', create('b', 'id', name), id, create('small', 'muted', state), this.#grants(person, name))
    const item = create('li', '', line, create('ul', 'sessions', ...sessions.map((session) => this.#session(session, name, now))))
    item.dataset['key'] = user.id
    return item
  }

  #grants({ user, changed }: Person, name: string): HTMLElement {
    const choice = create('select', '')
    choice.ariaLabel = `What ${name} may do here`
    choice.dataset['place'] = 'grant'
    const now = changed === null ? 'restore' : (changed.grant ?? 'none')
    const options: readonly (readonly [string, string])[] = [
      ['restore', 'as the token says'],
      ...GRANTS.map((grant) => [grant, grant] as const),
      ['none', 'nothing (revoke)'],
    ]
    for (const [value, words] of options) {
      const option = new Option(words, value)
      if (value === now) option.setAttribute('selected', '') // an attribute: rows are compared by them
      choice.add(option)
    }
    choice.value = now
    choice.addEventListener('change', () => {
      const wanted = choice.value
      choice.value = now
      this.#askToGrant(user.id, name, wanted)
    })
    return choice
  }

  #askToGrant(user: string, name: string, wanted: string): void {
    const revokes = wanted === 'none'
    const what = wanted === 'restore' ? 'What the token says holds again.' : `From now on: ${wanted}. On all processes within a second.`
    ask({
      title: revokes ? `Revoke the access of ${name}?` : `Change what ${name} may do?`,
      text: revokes ? `They are sent away from this document at once. ${LATER}` : `${what} They stay connected.`,
      yes: revokes ? 'Revoke' : 'Change',
      deed: () => this.#change({ user_id: user, grant: revokes ? null : wanted }),
      after: () => announce(revokes ? `${name} is out.` : `Changed for ${name}.`),
    })
  }

  #session(session: PresentSession, name: string, now: number): HTMLElement {
    // No time of somebody who is at it: rows that change all the time are pulled away from under a finger.
    const since = session.state === 'active' ? '' : ago(session.last_active, now)
    const told = [session.transport, session.client ?? '', `${session.state} ${since}`.trim()]
    const kick = create('button', 'plain small', 'Disconnect')
    kick.ariaLabel = `Disconnect ${name}, ${session.transport}`
    kick.dataset['place'] = session.session_id
    kick.addEventListener('click', () =>
      ask({
        title: `Disconnect this session of ${name}?`,
        text: 'Its connections are closed, and it is over. Their editor may come back with its token, as a new session: to keep them out, revoke their access.',
        yes: 'Disconnect',
        deed: () => this.#change({ session_id: session.session_id, grant: null }),
        after: () => announce(`A session of ${name} was disconnected.`),
      }),
    )
    return create('li', '', create('span', 'muted', told.filter(Boolean).join(' · ')), kick)
  }

  async #change(change: Change): Promise<void> {
    const opened = this.#opened
    if (opened === null) return
    await opened.service.change({ ...change, document_id: opened.id, reason: 'from the page for administrators' })
    this.#changed()
  }
}

function announce(words: string): void {
  byId('announcement', HTMLElement).textContent = words
}

function pastOf({ versions, activity, missing }: Past): HTMLElement[] {
  if (missing) return [create('h3', '', 'History'), create('p', 'muted', missing)]
  const now = Date.now()
  return [
    create('h3', '', 'Who wrote when'),
    list(activity.map((one) => activityRow(one, now)), 'Nothing yet.'),
    create('h3', '', 'Versions'),
    list(versions.map((one) => versionRow(one, now)), 'None yet. Some are made by themselves, in pauses of writing.'),
  ]
}

function list(rows: readonly HTMLElement[], none: string): HTMLElement {
  return rows.length > 0 ? create('ul', 'story', ...rows) : create('p', 'muted', none)
}

function activityRow(one: Activity, now: number): HTMLElement {
  const amount = create('span', 'amount', `+${one.inserted} −${one.deleted}`)
  const offsets = one.first_offset === one.last_offset ? `offset ${one.last_offset}` : `offsets ${one.first_offset} to ${one.last_offset}`
  return create('li', '', create('span', 'id', one.author), amount, create('small', 'muted', `${ago(one.ended_at, now)}, ${offsets}`))
}

function versionRow(one: Version, now: number): HTMLElement {
  const name = one.name ?? (one.kind === 'restore' ? 'Before a restore' : 'Automatic')
  return create('li', '', create('span', 'id', name), create('small', 'muted', `${ago(one.created_at, now)}, offset ${one.offset}, ${one.author}`))
}
