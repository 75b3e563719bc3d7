/** Where the server is, what it is shown, and how what goes wrong is named. */
import { describe, expect, test, vi } from 'vitest'
import { open, pass, setTheStage, stage } from './stage.ts'

setTheStage()

describe('[CI13] the address', () => {
  test('that is wrong is named', async () => {
    stage.server.answers = () => new Response('not here', { status: 404 })
    const { provider } = open()
    const messages: string[] = []
    provider.on('error', ({ message }) => messages.push(message))
    await pass(100)
    expect(messages).toEqual(['HTTP status 404 from http://server/notes/api/v2/realtime/connect'])
  })

  test('may be relative to the page, and to nothing else', async () => {
    expect(() => open({ url: '/notes' })).toThrow(new TypeError('no address: /notes'))
    vi.stubGlobal('location', { href: 'http://server/page.html' })
    const { provider } = open({ url: '/notes' })
    await pass(100)
    expect(provider.status).toBe('connected')
  })
})

test('[CI20] white space around a token is not sent', async () => {
  open({ token: ' one\n' })
  open({ token: async () => await Promise.resolve('two\n') })
  await pass(100)
  expect(stage.server.shown).toEqual(['one', 'two'])
})

test('[CI13] a close code has its name', async () => {
  const { provider } = open()
  const names: string[] = []
  provider.on('error', ({ name }) => names.push(name))
  await pass(100)
  stage.server.close(4413)
  await pass(100)
  provider.connect()
  await pass(100)
  stage.server.close(4999)
  await pass(100)
  expect(names).toEqual(['message_too_large', 'closed'])
})
