/** Servers, and what is on the way to them, that do what they should not; and the codes with which they say so. */
import { describe, expect, test } from 'vitest'
import closeCodes from '../../../spec/close_codes.json' with { type: 'json' }
import { mayReturn } from '../src/core/codes.ts'
import { encode } from '../src/core/messages.ts'
import { messages, problem } from './fake_server.ts'
import { errorsIn, open, openOperations, pass, setTheStage, stage } from './stage.ts'
import { bytesOf, vectors } from './vectors.ts'

setTheStage()

const OF_NO_TABLE = [1002, 1003, 1007, 1008, 1009, 1010, 1011, 1013, 1014, 1015, 2999, 3000, 3999, 4000, 4204, 4399, 4402, 4499, 4501, 4599, 4999, 0, 65_535]
/** All but 4401, of which there is more to say. */
const CODES = [...closeCodes.map(({ number }) => number), ...OF_NO_TABLE].filter((code) => code !== 4401)
const CLIENTS = [
  ['CowriteProvider', open],
  ['OperationsClient', openOperations],
] as const
const EACH_CLIENT = CLIENTS.flatMap(([name, start]) => CODES.map((code) => [name, code, start] as const))

/** All that is told of an end with this code. */
function endOf(code: number): string[] {
  const failed = code === 4403 ? ['authentication failed 4403'] : []
  return mayReturn(code) ? [`disconnected ${code}`, `error connection ${code}`] : [`disconnected ${code} final`, `error refused ${code}`, ...failed]
}

const OF_STATE = /^(?:disconnected|error|authentication)/u

describe('[CI15] a close code', () => {
  test.each(EACH_CLIENT)('%s, %i: one event, and it comes back only where the table says so', async (_name, code, start) => {
    const { told } = start()
    await pass(100)
    expect(told.splice(0).toSorted()).toEqual(['by websocket', 'connected', 'synced true'])
    stage.server.close(code)
    await pass(60_000)
    expect(told.filter((word) => OF_STATE.test(word))).toEqual(endOf(code))
    expect(told.includes('connected')).toBe(mayReturn(code))
    expect(stage.server.requests).toEqual(mayReturn(code) ? ['connect'] : ['connect', 'disconnect'])
  })

  test.each(CODES)('%i before anything came: the same', async (code) => {
    stage.server.refuses = code
    const { provider, told } = open()
    await pass(50)
    stage.server.refuses = null
    await pass(60_000)
    expect(told.filter((word) => OF_STATE.test(word))).toEqual(endOf(code))
    expect(provider.status).toBe(mayReturn(code) ? 'connected' : 'disconnected')
  })

  test.each(CODES)('%i for a WebSocket that is tried beside polling: nobody notices, and it is tried again', async (code) => {
    stage.server.sockets = 'refuse'
    const { provider, told } = open()
    await pass(1000)
    stage.server.sockets = 'pass'
    stage.server.refuses = code
    await pass(10_000)
    expect([provider.transport, told.splice(0)]).toEqual(['polling', ['connected', 'by polling', 'synced true']])
    stage.server.refuses = null
    await pass(30_000)
    expect(told.toSorted()).toEqual(['by websocket', 'synced false', 'synced true'])
  })

  test('4401 asks for another session without a word; and so on, until the third in a row that is not known ends it', async () => {
    const { provider, told } = open()
    await pass(100)
    stage.server.close(4401)
    await pass(1000)
    expect(provider.status).toBe('connected')
    expect(errorsIn(told)).toEqual([])
    expect(stage.server.requests).toEqual(['connect', 'connect'])
    stage.server.refuses = 4401
    stage.server.answers = (path) => (path === 'operations' ? problem(401, 'unauthorized') : null)
    stage.server.close(4401)
    await pass(60_000)
    expect(errorsIn(told)).toEqual(['error connection 4401', 'error connection 4401', 'error refused 4401'])
    expect(stage.server.requests.filter((path) => path === 'connect')).toHaveLength(4)
  })

  test('that ends it rejects what waits; what was true before stays so; connect() begins anew', async () => {
    const { provider } = open()
    await pass(100)
    stage.server.close(4424)
    const synced = provider.whenSynced()
    await pass(1000)
    await expect(provider.whenSynced()).rejects.toMatchObject({ name: 'Refused', code: 4424 })
    await expect(synced).resolves.toBeUndefined()
    provider.connect()
    await pass(100)
    expect(provider.status).toBe('connected')
  })
})

describe('[CI15] the server says not to come back', () => {
  test('by a problem', async () => {
    stage.server.answers = (path) => (path === 'connect' ? problem(410, 'document_deleted') : null)
    const { told } = open()
    await pass(100_000)
    expect(told).toEqual(['disconnected 4410 final', 'error refused 4410'])
    expect(stage.server.requests).toEqual(['connect'])
  })

  test('but not a proxy', async () => {
    stage.server.answers = (path) => (path === 'connect' && stage.server.requests.length < 3 ? new Response('<html>', { status: 403 }) : null)
    const { provider } = open()
    await pass(10_000)
    expect(provider.status).toBe('connected')
  })

  test.each(['operations', 'poll'])('by a problem, while it is polling: %s', async (wanted) => {
    stage.server.sockets = 'refuse'
    const { provider, told } = open()
    await pass(1000)
    stage.server.answers = (path) => (path === wanted ? problem(410, 'document_deleted') : null)
    provider.document.getText('text').insert(0, 'x')
    await pass(100_000)
    expect(told.filter((word) => OF_STATE.test(word))).toEqual(endOf(4410))
    expect(stage.server.requests.at(-1)).toBe('disconnect')
  })

  test.each(['toString', 'constructor', '__proto__', 'valueOf', ''])('but a problem with the code %j says no more than its status', async (code) => {
    stage.server.answers = (path) => (path === 'connect' && stage.server.requests.length < 2 ? problem(503, code) : null)
    const { provider, told } = open()
    await pass(10_000)
    expect(errorsIn(told)).toEqual(['error connection 4503'])
    expect(provider.status).toBe('connected')
  })
})

describe('[CI16] a server that answers nonsense', () => {
  const requests: readonly (readonly [string, () => Response])[] = [
    ['no JSON', () => new Response('<html>')],
    ['other JSON', () => new Response('[1]')],
    ['null', () => new Response('null')],
    ['nothing', () => new Response('')],
  ]
  test.each(requests)('to connect: %s', async (_what, answer) => {
    let times = 0
    stage.server.answers = (path) => (path === 'connect' && times++ < 2 ? answer() : null)
    const { provider, told } = open()
    await pass(10_000)
    expect(errorsIn(told)).toEqual(['error nonsense 1006', 'error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })

  const bodies: readonly (readonly [string, () => Response])[] = [
    ['no envelope', () => new Response(Uint8Array.of(200, 1))],
    ['a message that is cut off', () => messages([Uint8Array.of(0, 1, 9, 0)], 'c')],
    ['an update that is none', () => messages([encode({ type: 'step2', body: Uint8Array.of(9, 9, 9) })], 'c')],
    ['nothing, from somebody who knows no cursor', () => new Response('')],
    ['a state vector that is none', () => messages([encode({ type: 'step1', body: Uint8Array.of(255) })], 'c')],
  ]
  const POLLING = ['operations', 'poll'].flatMap((path) => bodies.map(([what, answer]) => [path, what, answer] as const))
  test.each(POLLING)('to polling, %s: %s', async (wanted, _what, answer) => {
    stage.server.sockets = 'refuse'
    let times = 0
    stage.server.answers = (path) => (path === wanted && times++ < 1 ? answer() : null)
    const { provider, told } = open()
    await pass(30_000)
    expect(errorsIn(told)).toEqual(['error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })

  test('to a request to renew: the link stays', async () => {
    let times = 0
    stage.server.answers = (path) => (path === 'refresh' && times++ < 1 ? new Response('{}') : null)
    const { told } = open()
    await pass(500_000)
    expect(told).toEqual(['connected', 'by websocket', 'synced true', 'error nonsense 1006'])
    expect(stage.server.requests).toEqual(['connect', 'refresh', 'refresh'])
  })

  const frames = vectors('yjs').filter(({ error, hex }) => error === 'malformed' && hex !== '')
  test.each(frames)('on the socket: $id', async ({ hex }) => {
    const { provider, told } = open()
    await pass(100)
    stage.server.say(bytesOf(hex))
    await pass(5000)
    // What y-protocols takes for awareness is awareness.
    const errors = errorsIn(told)
    if (hex.startsWith('01')) expect(errors.length).toBeLessThan(2)
    else expect(errors).toEqual(['error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })

  test('a text on the socket', async () => {
    const { provider, told } = open()
    await pass(100)
    stage.server.say('hello')
    await pass(5000)
    expect(errorsIn(told)).toEqual(['error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })
})

describe('[CI16] a client of operations, of a server that answers nonsense', () => {
  const frames = ['', '{', '{"type":"operations","opera', '[]', 'null', '7', '{"type":"operations"}', '{"type":"welcome","state":{}}', '{"type":"reset"}', '{"type":"acknowledged","request":1}']
  test.each(frames)('on the socket: %j', async (frame) => {
    const { client, told } = openOperations()
    await pass(100)
    stage.server.say(frame)
    await pass(5000)
    expect(errorsIn(told)).toEqual(['error nonsense 1006'])
    expect(client.status).toBe('connected')
  })

  test('bytes on the socket', async () => {
    const { client, told } = openOperations()
    await pass(100)
    stage.server.say(Uint8Array.of(0, 0))
    await pass(5000)
    expect(errorsIn(told)).toEqual(['error nonsense 1006'])
    expect(client.status).toBe('connected')
  })

  const NEWS = JSON.stringify({ operations: [], head: null, offset: 0, presence: [] })
  test.each(['<html>', '', '{"operations":[', 'null', '7', '"x"', '[1]', '{}'])('to polling: %j', async (body) => {
    stage.server.sockets = 'refuse'
    let times = 0
    stage.server.answers = (path) => {
      if (path !== 'poll') return null
      return times++ < 1 ? new Response(body) : new Response(times === 2 ? NEWS : null, { status: times === 2 ? 200 : 304 })
    }
    const { client, told } = openOperations()
    await pass(2000)
    client.destroy()
    expect(errorsIn(told)).toEqual(['error nonsense 1006'])
    expect(told).toContain('connected')
  })
})
