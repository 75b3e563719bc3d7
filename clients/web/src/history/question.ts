/** A question before something that others will notice. */
import { create } from '../view/dom.ts'

export interface Question {
  readonly title: string
  readonly text: string
  readonly yes: string
  /** What is done on "yes". The question stays, with what is said, when that fails. */
  readonly deed: () => Promise<void>
  /** Called when it is done and the question is gone. */
  readonly after?: () => void
}

/** Asks; afterwards the focus is where it was, unless `after` puts it elsewhere. */
export function ask({ title, text, yes, deed, after }: Question): void {
  const failure = create('p', 'failure')
  failure.role = 'alert'
  const no = create('button', '', 'Cancel')
  no.type = 'button'
  const go = create('button', 'strong', yes)
  const heading = create('h2', '', title)
  heading.id = 'question-title'
  const form = create('form', '', heading, create('p', '', text), failure, create('div', 'buttons', no, go))
  const dialog = create('dialog', 'question', form)
  dialog.setAttribute('aria-labelledby', heading.id)
  document.body.append(dialog)
  no.addEventListener('click', () => dialog.close())
  dialog.addEventListener('close', () => dialog.remove())
  dialog.addEventListener('keydown', (event) => event.stopPropagation()) // Escape is the dialog's
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    go.disabled = true
    failure.textContent = ''
    try {
      await deed()
      dialog.close()
      after?.()
    } catch (error) {
      failure.textContent = error instanceof Error ? error.message : String(error)
    } finally {
      go.disabled = false
    }
  })
  dialog.showModal()
}
