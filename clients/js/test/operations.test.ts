import { describe, expect, test } from 'vitest'
import { openOperations, pass, setTheStage, stage } from './stage.ts'

setTheStage()

function said(type: string): unknown[] {
  return stage.server.said.filter((message) => message.type === type)
}

const HELLO = { type: 'insert', position: ['text', 0], content: 'Hello' } as const

describe('[CI43] what can never be written', () => {
  test('is refused before it is sent: more than the server takes at once', async () => {
    const { client } = openOperations()
    await pass(100)
    const large = client.submit([{ ...HELLO, content: 'ü'.repeat(600_000) }])
    await expect(large).rejects.toMatchObject({ name: 'OperationsRefused', code: 'message_too_large' })
    expect([client.unsyncedChanges, said('operations'), client.status]).toEqual([0, [], 'connected'])
    client.submit([{ ...HELLO, content: 'ü'.repeat(500_000) }]).catch(() => {})
    await pass(100)
    expect(said('operations')).toHaveLength(1)
  })

  test('is rejected when the server says not to come back, and not sent again', async () => {
    const { client } = openOperations()
    await pass(100)
    const [first, second] = [client.submit([HELLO]), client.submit([HELLO])]
    const rejected = Promise.all([first, second].map((one) => expect(one).rejects.toMatchObject({ name: 'Refused', code: 4413 })))
    await pass(50)
    stage.server.close(4413)
    await pass(100)
    await rejected
    expect(client.unsyncedChanges).toBe(0)
    client.connect()
    await pass(1000)
    expect([client.status, said('operations').length]).toEqual(['connected', 1])
  })

  test('is rejected when the client is destroyed', async () => {
    const { client } = openOperations()
    const submitted = client.submit([HELLO]).catch((error: unknown) => error)
    client.destroy()
    expect(await submitted).toMatchObject({ name: 'Refused', code: 1000 })
    expect(client.unsyncedChanges).toBe(0)
  })

  test.each([null, { type: 'insert' }, 7])('is rejected, not thrown: %j', async (nothing) => {
    const { client } = openOperations()
    await expect(client.submit(nothing as never)).rejects.toBeInstanceOf(TypeError)
  })
})

describe('[CI44] what a client tells about itself', () => {
  test('is told at once, and all of it again over the next link', async () => {
    const { client } = openOperations()
    client.tell({ state: 'away' })
    await pass(100)
    client.tell({ cursor: ['text', 3], data: { tool: 'pen' } })
    client.tell({ state: 'active', data: null })
    await pass(100)
    expect(said('presence')).toEqual([
      { type: 'presence', state: 'away' },
      { type: 'presence', cursor: ['text', 3], data: { tool: 'pen' } },
      { type: 'presence', state: 'active', data: null },
    ])
    stage.server.said.length = 0
    stage.server.cut()
    await pass(1000)
    expect(said('presence')).toEqual([{ type: 'presence', state: 'active', cursor: ['text', 3], data: null }])
  })

  test('goes by polling with the same fields', async () => {
    stage.server.sockets = 'refuse'
    const bodies: unknown[] = []
    const news = JSON.stringify({ operations: [], head: null, offset: 0, presence: [] })
    let polls = 0
    stage.server.answers = (path, _url, { body }) => {
      if (path === 'poll') return new Response(polls++ > 0 ? null : news, { status: polls > 1 ? 304 : 200 })
      if (path !== 'presence') return null
      bodies.push(JSON.parse(String(body)))
      return new Response(null, { status: 204 })
    }
    const { client } = openOperations()
    client.tell({ state: 'idle', cursor: null })
    await pass(500)
    client.destroy()
    expect(bodies).toEqual([{ document_id: 'plan', state: 'idle', cursor: null }])
  })
})

test('[CI13] that it is connected is told before what has come', async () => {
  const { told } = openOperations()
  await pass(100)
  expect(told).toEqual(['connected', 'by websocket', 'synced true'])
})
