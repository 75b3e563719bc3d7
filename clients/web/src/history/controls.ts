/** The small parts of the panel: what it says, what is shown of a moment, and the field for a name. */
import { create } from '../view/dom.ts'
import { nameField } from './lists.ts'

/** was: the document as it was · since: what changed from then until now · before: what changed from the version before. */
export type Look = 'was' | 'since' | 'before'

const LOOKS: Record<Look, string> = { was: 'As it was', since: 'Changes since', before: 'Changes before' }

/** Something that is said, perhaps with something to do about it. */
export class Message {
  readonly element: HTMLElement

  constructor(role: 'alert' | 'status') {
    this.element = create('div', `message ${role}`)
    this.element.role = role
  }

  /** '' says nothing any more. */
  say(words: string, label = '', onPress: () => void = () => {}): void {
    if (!words) return this.element.replaceChildren()
    this.element.replaceChildren(create('span', '', words))
    if (!label) return
    const button = create('button', 'plain', label)
    button.addEventListener('click', onPress)
    this.element.append(button)
  }

  focus(): void {
    this.element.querySelector('button')?.focus()
  }
}

export class LookChoice {
  readonly element: HTMLElement
  readonly #radios: readonly HTMLInputElement[]

  constructor(onChange: () => void) {
    this.element = create('fieldset', 'looks', create('legend', 'aside', 'What is shown of the moment'))
    this.#radios = Object.entries(LOOKS).map(([value, words]) => {
      const radio = create('input', '')
      radio.type = 'radio'
      radio.name = 'history-look'
      radio.value = value
      radio.checked = value === 'was'
      this.element.append(create('label', '', radio, create('span', '', words)))
      return radio
    })
    this.element.addEventListener('change', onChange)
  }

  get chosen(): Look {
    return (this.#radios.find((radio) => radio.checked)?.value ?? 'was') as Look
  }

  set chosen(look: Look) {
    for (const radio of this.#radios) radio.checked = radio.value === look
  }
}

export class NamingForm {
  readonly element: HTMLElement
  readonly #field: HTMLInputElement = nameField('Name for a version')

  /** `name` rejects when the name was not taken; then it stays in the field. */
  constructor(name: (name: string) => Promise<void>) {
    const form = create('form', 'naming', this.#field, create('button', '', 'Keep'))
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      const typed = this.#field.value.trim()
      if (!typed) return
      name(typed).then(
        () => (this.#field.value = ''),
        () => this.#field.focus(),
      )
    })
    this.element = form
  }

  set moment(words: string) {
    this.#field.placeholder = `A name for ${words}`
  }
}
