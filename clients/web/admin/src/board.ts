/** What is shown once the token is good: how the server is, its open documents, and one of them. Asked for anew all the time. */
import { byId, create } from '../../src/view/dom.ts'
import { DocumentPanel } from './document.ts'
import { documentRow } from './list.ts'
import { replaceRows } from './rows.ts'
import { Failure } from './service.ts'
import type { OpenDocument, Overview, Service, Worker } from './service.ts'
import { WebhookList } from './webhooks.ts'
import { bytes, count, duration, milliseconds } from './words.ts'

const REFRESH_MS = 2000
const STATUS = { ok: 'All is well', degraded: 'Degraded', draining: 'Stopping' } as const

export class Board {
  readonly #lost: (message: string) => void
  readonly #element: HTMLElement = byId('board', HTMLElement)
  readonly #status: HTMLElement = byId('status', HTMLElement)
  readonly #failure: HTMLElement = byId('failure', HTMLElement)
  readonly #search: HTMLInputElement = byId('search', HTMLInputElement)
  readonly #panel: DocumentPanel
  readonly #webhooks: WebhookList
  #service: Service | null = null
  #timer = 0

  /** `lost`: called with why, when the token is taken no more. */
  constructor(lost: (message: string) => void) {
    this.#lost = lost
    this.#panel = new DocumentPanel(() => void this.#refresh())
    this.#webhooks = new WebhookList(() => void this.#refresh())
    this.#search.addEventListener('input', () => void this.#refresh())
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) void this.#refresh()
    })
  }

  show(service: Service, overview: Overview): void {
    this.#service = service
    this.#element.hidden = false
    this.#status.hidden = false
    this.#tell(overview)
    void this.#refresh()
  }

  hide(): void {
    window.clearTimeout(this.#timer)
    this.#service = null
    this.#panel.close()
    this.#search.value = ''
    this.#failure.textContent = ''
    this.#element.hidden = true
    this.#status.hidden = true
  }

  /** Asks for everything that is shown, and again after a while: one round at a time, and none in a window that nobody sees. */
  async #refresh(): Promise<void> {
    window.clearTimeout(this.#timer)
    const service = this.#service
    if (service === null || document.hidden) return
    try {
      const [overview, found, webhooks] = await Promise.all([
        service.overview(),
        service.documents(this.#search.value),
        service.webhooks(),
        this.#panel.refresh(service),
      ])
      if (service !== this.#service) return
      this.#failure.textContent = ''
      this.#tell(overview)
      this.#list(found.documents, found.more)
      this.#webhooks.tell(webhooks, service)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      if (service !== this.#service) return
      if (error.isOfToken) return this.#lost(error.message)
      // Said once: what did not change is not read out again.
      if (this.#failure.textContent !== error.message) this.#failure.textContent = error.message
    }
    window.clearTimeout(this.#timer)
    this.#timer = window.setTimeout(() => void this.#refresh(), REFRESH_MS)
  }

  #tell(overview: Overview): void {
    const { workers } = overview
    const sum = (of: (worker: Worker) => number): number => workers.reduce((total, worker) => total + of(worker), 0)
    const worst = (of: (worker: Worker) => number | null): number | null =>
      workers.reduce<number | null>((most, worker) => Math.max(most ?? 0, of(worker) ?? 0) || most, null)
    this.#status.textContent = `${STATUS[overview.status]}, version ${overview.version}`
    this.#status.dataset['state'] = overview.status
    this.#degraded(overview)
    const edits = sum((worker) => worker.edits_per_second)
    const slowest = worst((one) => one.commit_p95_ms)
    figures([
      ['People', String(sum((worker) => worker.people)), count(sum((worker) => worker.sockets), 'socket', 'sockets')],
      ['Documents', String(sum((worker) => worker.documents)), 'open'],
      ['Edits', edits >= 10 ? String(Math.round(edits)) : edits.toFixed(1), 'each second, last minute'],
      ['Stored within', milliseconds(slowest), slowest === null ? 'nothing in the last minute' : `95 of 100; half in ${milliseconds(worst((one) => one.commit_p50_ms))}`],
      ['Waiting', String(sum((worker) => worker.pending_updates)), `edits, ${bytes(sum((worker) => worker.pending_bytes))}`],
      ['Loop late by', milliseconds(worst((one) => one.loop_lag_ms) ?? 0), 'the busiest process'],
    ])
    byId('workers', HTMLElement).replaceChildren(...workers.map((worker) => workerRow(worker, overview.now)))
    byId('refused', HTMLElement).textContent = refused(workers)
  }

  #degraded({ degraded, workers }: Overview): void {
    const section = byId('degraded', HTMLElement)
    const list = section.querySelector('ul') ?? section
    const rows = degraded.map(({ worker, text }) => create('li', '', workers.length > 1 ? `Worker ${worker}: ${text}` : text))
    replaceRows(list, rows)
    section.hidden = degraded.length === 0
  }

  #list(documents: readonly OpenDocument[], more: boolean): void {
    const rows = documents.map((one) => documentRow(one, one.document_id === this.#panel.shown, (id) => this.#open(id)))
    replaceRows(byId('documents', HTMLElement), rows)
    const [none, asked] = [byId('no-documents', HTMLElement), this.#search.value]
    none.hidden = documents.length > 0 && !more
    const other = create('button', 'plain', `Look at “${asked}”, open or not`)
    other.addEventListener('click', () => this.#open(asked))
    if (more) none.replaceChildren('There are more. Search for a part of the id.')
    else if (asked === '') none.replaceChildren('Nobody has a document open now.')
    else none.replaceChildren('No open document has this in its id. ', other)
  }

  #open(id: string): void {
    if (this.#service !== null) void this.#panel.open(this.#service, id)
  }
}

function figures(all: readonly (readonly [string, string, string])[]): void {
  const tiles = all.map(([name, value, more]) => {
    const tile = create('div', 'tile', create('dt', '', name), create('dd', '', create('b', '', value), create('small', 'muted', more)))
    return tile
  })
  byId('figures', HTMLElement).replaceChildren(...tiles)
}

function workerRow(worker: Worker, now: number): HTMLElement {
  const name = create('th', '', String(worker.number))
  name.scope = 'row'
  const told = worker.answers
    ? [
        duration(now - (worker.started_at ?? now)),
        String(worker.sockets),
        String(worker.documents),
        worker.edits_per_second.toFixed(1),
        milliseconds(worker.commit_p50_ms),
        milliseconds(worker.commit_p95_ms),
        String(worker.pending_updates),
        milliseconds(worker.loop_lag_ms),
        bytes(worker.memory_bytes),
      ]
    : ['does not answer', ...Array<string>(8).fill('–')]
  return create('tr', '', name, ...[...told, String(worker.restarts)].map((text) => create('td', '', text)))
}

/** What was more than a limit, most often first. */
function refused(workers: readonly Worker[]): string {
  const total = new Map<string, number>()
  for (const worker of workers) {
    for (const [limit, times] of Object.entries(worker.refused)) total.set(limit, (total.get(limit) ?? 0) + times)
  }
  const some = [...total].filter(([, times]) => times > 0).toSorted(([, a], [, b]) => b - a)
  return some.length === 0 ? '' : `Refused since the start: ${some.map(([limit, times]) => `${limit} ${times}×`).join(', ')}.`
}
