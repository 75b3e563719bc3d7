/** The history beside the editor: a time line, versions, and who did what; and what they show in the editor's place. */
import type { EditorKind } from '../address.ts'
import type { LiveDocument } from '../live.ts'
import { byId, create } from '../view/dom.ts'
import { Authors } from './authors.ts'
import type { Present } from './authors.ts'
import { LookChoice, Message, NamingForm } from './controls.ts'
import type { Look } from './controls.ts'
import { activityList, button, sign, versionList } from './lists.ts'
import type { List } from './lists.ts'
import { Newest } from './newest.ts'
import { past } from './past.ts'
import type { Past } from './past.ts'
import { ask } from './question.ts'
import { Reader } from './reader.ts'
import { HistoryService } from './service.ts'
import type { Changes, Place, Version } from './service.ts'
import { Story } from './story.ts'
import { Timeline } from './timeline.ts'
import { titleOf, versionName } from './words.ts'

/** The history of which document. */
export interface HistoryWhere {
  readonly editor: EditorKind
  readonly live: LiveDocument
  readonly place: Place
  /** Who is here now, oneself first. */
  readonly present: () => readonly Present[]
}

export interface HistoryPanel {
  focus(): void
  close(): void
}

/** What was fetched is kept up to so many letters of JSON. */
const KEPT = 6_000_000

/** Fills `panel`. `leave` is called when somebody closes it in there. */
export async function openHistory(where: HistoryWhere, panel: HTMLElement, leave: () => void): Promise<HistoryPanel> {
  const authors = new Authors(where.present)
  const shown = await past(where.editor, byId('sheet', HTMLElement), authors)
  return new Panel(where, authors, shown, { panel, leave })
}

class Panel implements HistoryPanel {
  readonly #service: HistoryService
  readonly #shown: Past
  readonly #end = new AbortController()
  readonly #looks = new LookChoice(() => this.#look())
  readonly #naming = new NamingForm((name) => this.#act(() => this.#service.name(name, this.#isNow ? null : this.#line.at)))
  readonly #failure = new Message('alert', () => this.focus())
  readonly #notice = new Message('status', () => this.focus())
  readonly #restore: HTMLButtonElement = button('strong', 'Restore this moment', () => this.#askToRestore())
  readonly #back: HTMLButtonElement = button('', 'Back to now', () => this.#goToNow())
  readonly #line: Timeline
  readonly #versions: List
  readonly #activity: List
  readonly #reader: Reader
  readonly #newest: Newest<Changes>
  #story = new Story([], [])

  constructor(where: HistoryWhere, authors: Authors, shown: Past, { panel, leave }: { panel: HTMLElement; leave: () => void }) {
    this.#service = new HistoryService(where.place)
    this.#shown = shown
    const go = (offset: number): void => this.#line.go(offset)
    this.#line = new Timeline(authors, () => this.#look())
    this.#versions = versionList({ go, rename: (...named) => this.#rename(...named), remove: (one) => this.#askToRemove(one) })
    this.#activity = activityList(authors, go)
    this.#newest = this.#fetcher()
    this.#reader = new Reader(this.#service, where.live, {
      tell: (story) => this.#tell(story),
      fail: (error) => this.#failed(error, () => void this.#reader.read()),
    })
    this.#arrange(panel, leave)
    const lock = (): void => {
      this.#restore.hidden = this.#naming.element.hidden = where.live.status.locked
    }
    this.#end.signal.addEventListener('abort', where.live.onStatus(lock))
    lock()
    void this.#reader.read()
  }

  focus(): void {
    this.#line.focus()
  }

  close(): void {
    this.#end.abort()
    this.#reader.close()
    this.#newest.close()
    this.#line.close()
    this.#shown.close()
  }

  get #isNow(): boolean {
    return this.#line.at === this.#story.head
  }

  #arrange(panel: HTMLElement, leave: () => void): void {
    const escape = (event: KeyboardEvent): void => {
      if (event.key === 'Escape') leave()
    }
    for (const part of [panel, this.#shown.element]) part.addEventListener('keydown', escape, { signal: this.#end.signal })
    const buttons = create('div', 'buttons', this.#back, this.#restore)
    const [line, looks, failure, notice] = [this.#line, this.#looks, this.#failure, this.#notice].map(({ element }) => element)
    const lists = [
      create('h3', '', 'Versions'),
      ...[this.#naming, this.#versions].map(({ element }) => element),
      create('h3', '', 'Who wrote when'),
      this.#activity.element,
    ]
    panel.replaceChildren(
      create('div', 'history-head', create('h2', '', 'History'), sign('✕', 'Close the history', leave)),
      create('div', 'history-now', ...[line, looks, buttons, failure, notice].filter((part) => part !== undefined)),
      create('div', 'history-lists', ...lists),
    )
  }

  // ---- looking

  #fetcher(): Newest<Changes> {
    return new Newest<Changes>({
      get: (key) => {
        const [, from = '', to = ''] = key.split(' ')
        return this.#service.changes(Number(from), Number(to))
      },
      show: (changes, key) => this.#showPast(changes, key.split(' ')[0] as Look),
      fail: (error) => this.#failed(error, () => this.#look()),
      size: ({ root }) => JSON.stringify(root).length,
      room: KEPT,
    })
  }

  #tell(story: Story): void {
    this.#story = story
    this.#failure.say('')
    this.#line.tell(story)
    this.#look()
  }

  /** Shows what is to be seen of the moment under the handle. */
  #look(): void {
    const [story, { at }, how] = [this.#story, this.#line, this.#looks.chosen]
    this.#versions.show(story, at)
    this.#activity.show(story, at)
    const editing = this.#isNow && how === 'was'
    this.#restore.disabled = this.#isNow
    this.#back.disabled = editing
    this.#naming.moment = this.#isNow ? 'now' : 'this moment'
    if (editing) {
      this.#newest.drop()
      this.#shown.hide()
      return
    }
    const ends = { was: [at, at], since: [at, story.head], before: [story.before(at), at] }
    this.#newest.want([how, ...ends[how]].join(' '))
  }

  #showPast(changes: Changes, how: Look): void {
    const moment = how === 'since' ? changes.from : changes.to
    const title = titleOf(changes, how, this.#story, Date.now())
    this.#failure.say('')
    this.#shown.show(changes, title, { compared: how !== 'was', follow: this.#line.playing })
    if (moment.offset === this.#line.at) this.#line.timed(moment.created_at)
  }

  #goToNow(): void {
    this.#looks.chosen = 'was'
    this.#line.go(this.#story.head)
    this.#line.focus()
  }

  // ---- doing

  #failed(error: unknown, again?: () => void): void {
    this.#failure.say(error instanceof Error ? error.message : String(error), again && 'Try again', again)
  }

  /** Does something, says so when it fails, and reads the history anew. */
  async #act(deed: () => Promise<unknown>): Promise<void> {
    try {
      await deed()
      this.#failure.say('')
    } catch (error) {
      this.#failed(error)
      throw error
    } finally {
      void this.#reader.read()
    }
  }

  async #rename(version: Version, name: string): Promise<void> {
    await this.#act(() => this.#service.rename(version, name))
  }

  #askToRemove(version: Version): void {
    ask({
      title: `Delete the version “${versionName(version)}”?`,
      text: 'Only the mark goes: the moment stays on the time line.',
      yes: 'Delete',
      deed: async () => {
        await this.#service.remove(version)
        await this.#reader.read()
      },
      after: () => this.#naming.focus(),
    })
  }

  #askToRestore(): void {
    const offset = this.#line.at
    const id = freshId() // one for all tries: what arrived without our hearing of it is not done twice
    let version: string | null = null
    this.#notice.say('')
    ask({
      title: 'Restore this moment?',
      text:
        `The document becomes what it was: “${this.#line.words}”. Everybody who is here sees it change. ` +
        'What is there now is kept as a version, so it can be taken back.',
      yes: 'Restore',
      deed: async () => {
        version = (await this.#service.restore(`offset:${offset}`, id)).version
        this.#goToNow()
        await this.#reader.read()
      },
      after: () => this.#tellRestored(version),
    })
  }

  #tellRestored(version: string | null): void {
    if (version === null) return this.#notice.say('It was like that already: nothing had to be changed.')
    this.#notice.say('Restored. What was there before is kept as a version.', 'Take it back', () => {
      const back = this.#act(() => this.#service.restore(`version:${version}`, freshId()))
      back.then(
        () => this.#notice.say('Taken back.'),
        () => {}, // said already
      )
    })
    this.#notice.focus()
  }
}

/** Browsers have crypto.randomUUID() only on pages from https and from this machine. */
function freshId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
