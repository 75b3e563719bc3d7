/** The page for administrators: asks for a token, and shows how the server is until it is left. */
import { byId } from '../../src/view/dom.ts'
import { Board } from './board.ts'
import { Failure, Service } from './service.ts'
import { forget, recall, remember } from './token.ts'

const entry = byId('entry', HTMLFormElement)
const field = byId('token', HTMLTextAreaElement)
const failure = byId('entry-failure', HTMLElement)
const leave = byId('leave', HTMLButtonElement)
const board = new Board((message) => ask(message))

async function open(token: string): Promise<void> {
  const service = new Service(new URL(location.href), token)
  try {
    board.show(service, await service.overview())
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    // A server that is away says nothing about the token: whoever reloads the page then needs not have it at hand again.
    if (error.isOfToken) forget(sessionStorage)
    ask(error.message)
    return
  }
  remember(sessionStorage, token)
  failure.textContent = ''
  field.value = ''
  entry.hidden = true
  leave.hidden = false
}

function ask(message: string): void {
  board.hide()
  entry.hidden = false
  leave.hidden = true
  failure.textContent = message
  field.focus()
}

entry.addEventListener('submit', (event) => {
  event.preventDefault()
  void open(field.value.trim())
})
leave.addEventListener('click', () => {
  forget(sessionStorage)
  ask('')
})

const start = (): void => {
  const token = recall(location, history, sessionStorage)
  if (token === null) ask('')
  else void open(token)
}
window.addEventListener('hashchange', () => {
  if (location.hash.startsWith('#token=')) start()
})
start()
