/** Webhooks that were given up: how many, the first of them, and what can be done about each. */
import { ask } from '../../src/history/question.ts'
import { byId, create } from '../../src/view/dom.ts'
import { replaceRows } from './rows.ts'
import type { DeadWebhook, DeadWebhooks, Service } from './service.ts'
import { ago, count } from './words.ts'

const WAITS = 'to be sent again'

export class WebhookList {
  readonly #section: HTMLElement = byId('webhooks', HTMLElement)
  readonly #title: HTMLElement = byId('webhooks-title', HTMLElement)
  readonly #more: HTMLElement = byId('more-webhooks', HTMLElement)
  readonly #list: HTMLElement
  readonly #changed: () => void

  /** `changed`: something was done, and is to be seen soon. */
  constructor(changed: () => void) {
    this.#changed = changed
    this.#list = this.#section.querySelector('ul') ?? this.#section
  }

  tell({ webhooks, number }: DeadWebhooks, service: Service): void {
    this.#section.hidden = number === 0
    this.#title.textContent = `${count(number, 'webhook was', 'webhooks were')} given up`
    this.#more.textContent = number > webhooks.length ? `These are the first ${webhooks.length}. All: cowrite webhooks list` : ''
    const now = Date.now()
    replaceRows(this.#list, webhooks.map((one) => this.#row(one, service, now)))
  }

  #row(one: DeadWebhook, service: Service, now: number): HTMLElement {
    const told = [`given up ${ago(one.died_at, now)}`, count(one.attempts, 'attempt', 'attempts'), one.reason]
    const words = create('small', 'muted id', told.join(' · '))
    const again = one.due_at === null ? this.#deed(one, 'Send again', () => this.#retry(one, service)) : create('small', 'muted', WAITS)
    const drop = this.#deed(one, 'Drop', () => this.#askToDrop(one, service))
    const item = create('li', '', create('span', 'id', `${one.type} of ${one.document_id}`), words, create('span', 'deeds', again, drop))
    item.dataset['key'] = one.id
    return item
  }

  #deed(one: DeadWebhook, name: string, deed: () => void): HTMLElement {
    const button = create('button', 'plain small', name)
    button.ariaLabel = `${name}: ${one.type} of ${one.document_id}`
    button.dataset['place'] = name
    button.addEventListener('click', deed)
    return button
  }

  #retry(one: DeadWebhook, service: Service): void {
    ask({
      title: `Send ${one.type} of ${one.document_id} again?`,
      text: 'Once, within seconds, out of its order: your application may have been told of later things meanwhile. When it is received it is gone from here.',
      yes: 'Send again',
      deed: () => service.retryWebhook(one.id),
      after: () => this.#done(`It is sent again: ${one.type} of ${one.document_id}.`),
    })
  }

  #askToDrop(one: DeadWebhook, service: Service): void {
    ask({
      title: `Drop ${one.type} of ${one.document_id}?`,
      text: 'It is forgotten, and your application is never told of it.',
      yes: 'Drop',
      deed: () => service.dropWebhook(one.id),
      after: () => this.#done(`It is dropped: ${one.type} of ${one.document_id}.`),
    })
  }

  #done(words: string): void {
    byId('announcement', HTMLElement).textContent = words
    this.#changed()
  }
}
