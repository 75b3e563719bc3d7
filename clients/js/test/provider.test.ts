import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Doc } from 'yjs'
import { CowriteProvider } from '../src/provider.ts'
import type { CowriteProviderOptions } from '../src/provider.ts'
import { encode } from '../src/core/messages.ts'
import { FakeServer, messages, problem } from './fake_server.ts'
import { vectors, bytesOf } from './vectors.ts'

let server: FakeServer
let opened: CowriteProvider[]
const rejected: unknown[] = []
const note = (error: unknown): void => void rejected.push(error)

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  server = new FakeServer()
  opened = []
  rejected.length = 0
  process.on('unhandledRejection', note)
})

afterEach(async () => {
  for (const provider of opened) provider.destroy()
  await vi.advanceTimersByTimeAsync(100_000)
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
  await new Promise((done) => setTimeout(done, 0))
  process.off('unhandledRejection', note)
  expect(rejected).toEqual([])
})

interface Told {
  readonly provider: CowriteProvider
  readonly text: () => string
  readonly told: string[]
}

function open(options: Partial<CowriteProviderOptions> = {}): Told {
  const document = options.document ?? new Doc()
  const provider = new CowriteProvider({
    url: 'http://server/notes',
    name: 'plan',
    broadcast: false,
    WebSocketPolyfill: server.WebSocket,
    fetch: server.fetch,
    ...options,
    document,
  })
  opened.push(provider)
  const told: string[] = []
  provider.on('status', ({ status, code, final }) => told.push(`${status}${code === undefined ? '' : ` ${code}`}${final ? ' final' : ''}`))
  provider.on('transport', ({ transport }) => told.push(`by ${transport}`))
  provider.on('synced', ({ state }) => told.push(`synced ${state}`))
  provider.on('error', ({ kind, code }) => told.push(`error ${kind} ${code}`))
  provider.on('authenticationFailed', ({ code }) => told.push(`authentication failed ${code}`))
  return { provider, told, text: () => document.getText('text').toString() }
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
}

describe('[CI13] what is told', () => {
  test('of a connection that comes, goes and comes again', async () => {
    const { provider, told } = open()
    await pass(100)
    expect(told).toEqual(['connected', 'by websocket', 'synced true'])
    server.cut()
    await pass(1000)
    const again = ['connecting', 'connected', 'by websocket', 'synced true']
    expect(told.splice(0)).toEqual(['connected', 'by websocket', 'synced true', 'synced false', 'disconnected 1006', 'by null', 'error connection 1006', ...again])
    provider.disconnect()
    await pass(100)
    expect(told).toEqual(['synced false', 'disconnected', 'by null'])
  })

  test('addresses are below the one that is given', async () => {
    const asked: string[] = []
    server.answers = (_path, { href }) => (asked.push(href), null)
    open({ url: 'ws://server/notes/?old' })
    await pass(100)
    expect(asked).toEqual(['http://server/notes/api/v2/realtime/connect'])
  })

  test.each(['', 'a'.repeat(256), 'a\0', '\ud800'])('a name that no document can have is refused at once: %j', (name) => {
    expect(() => new CowriteProvider({ url: 'http://server', name, document: new Doc() })).toThrow(TypeError)
  })
})

describe('[CI4] saved', () => {
  test('is what was in the document before, too, and not before it is durable', async () => {
    const document = new Doc()
    document.getText('text').insert(0, 'before')
    const { provider } = open({ document })
    expect(provider.unsyncedChanges).toBe(1)
    const saved = vi.fn<() => void>()
    void provider.whenSaved().then(saved)
    await pass(25)
    expect(saved).not.toHaveBeenCalled()
    await pass(100)
    expect(saved).toHaveBeenCalledOnce()
    expect(server.disk.getText('text').toString()).toBe('before')
  })

  test('is never said where the server dies first', async () => {
    const { provider, text } = open()
    await pass(100)
    provider.document.getText('text').insert(0, 'lost?')
    await pass(10)
    server.restart()
    server.network = false
    await pass(30_000)
    expect(provider.hasUnsyncedChanges).toBe(true)
    server.network = true
    await pass(20_000)
    expect([provider.hasUnsyncedChanges, server.disk.getText('text').toString()]).toEqual([false, text()])
  })
})

describe('[CI10, CI12] sockets that are blocked', () => {
  test.each(['refuse', 'swallow'] as const)('polling within 3 s where they are: %s', async (sockets) => {
    server.sockets = sockets
    const [ana, bo] = [open(), open()]
    await pass(2500)
    expect([ana.provider.transport, bo.provider.transport]).toEqual(['polling', 'polling'])
    ana.provider.document.getText('text').insert(0, 'hello')
    await pass(500)
    expect(bo.text()).toBe('hello')
    server.sockets = 'pass'
    await pass(30_000)
    expect(ana.told.filter((word) => word.startsWith('by '))).toEqual(['by polling', 'by websocket'])
  })

  test('a browser that does not make any', async () => {
    const forbidden = class {
      constructor() {
        throw new Error('not here')
      }
    } as unknown as typeof WebSocket
    const { provider } = open({ WebSocketPolyfill: forbidden })
    await pass(500)
    expect(provider.transport).toBe('polling')
    await pass(120_000)
    expect(provider.transport).toBe('polling')
  })
})

describe('[CI17] a connection that is silent', () => {
  test('is noticed, and replaced', async () => {
    const { provider, told } = open()
    await pass(100)
    server.network = false
    provider.document.getText('text').insert(0, 'x')
    await pass(13_500)
    expect(told).toContain('disconnected 1006')
    server.network = true
    await pass(15_000)
    expect(server.disk.getText('text').toString()).toBe('x')
  })

  test('and one on which nobody types is none', async () => {
    const { told } = open()
    await pass(300_000)
    expect(told).toEqual(['connected', 'by websocket', 'synced true'])
  })
})

describe('[CI15] the server says not to come back', () => {
  test.each([4400, 4403, 4410, 4424])('with close code %i', async (code) => {
    const { provider, told } = open()
    await pass(100)
    told.length = 0
    server.close(code)
    const synced = provider.whenSynced()
    await pass(100_000)
    const failed = code === 4403 ? ['authentication failed 4403'] : []
    expect(told).toEqual(['synced false', `disconnected ${code} final`, 'by null', `error refused ${code}`, ...failed])
    await expect(provider.whenSynced()).rejects.toMatchObject({ name: 'Refused', code })
    await expect(synced).resolves.toBeUndefined()
    provider.connect()
    await pass(100)
    expect(provider.status).toBe('connected')
  })

  test('by a problem', async () => {
    server.answers = (path) => (path === 'connect' ? problem(410, 'document_deleted') : null)
    const { told } = open()
    await pass(100_000)
    expect(told).toEqual(['disconnected 4410 final', 'error refused 4410'])
    expect(server.requests).toEqual(['connect'])
  })

  test('but not a proxy', async () => {
    server.answers = (path) => (path === 'connect' && server.requests.length < 3 ? new Response('<html>', { status: 403 }) : null)
    const { provider } = open()
    await pass(10_000)
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
    server.answers = (path) => (path === 'connect' && times++ < 2 ? answer() : null)
    const { provider, told } = open()
    await pass(10_000)
    expect(told.filter((word) => word.startsWith('error'))).toEqual(['error nonsense 1006', 'error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })

  const bodies: readonly (readonly [string, () => Response])[] = [
    ['no envelope', () => new Response(Uint8Array.of(200, 1))],
    ['a message that is cut off', () => messages([Uint8Array.of(0, 1, 9, 0)], 'c')],
    ['an update that is none', () => messages([encode({ type: 'step2', body: Uint8Array.of(9, 9, 9) })], 'c')],
    ['a state vector that is none', () => messages([encode({ type: 'step1', body: Uint8Array.of(255) })], 'c')],
  ]
  test.each(bodies)('to polling: %s', async (_what, answer) => {
    server.sockets = 'refuse'
    let times = 0
    server.answers = (path) => (path === 'operations' && times++ < 1 ? answer() : null)
    const { provider, told } = open()
    await pass(20_000)
    expect(told.filter((word) => word.startsWith('error'))).toEqual(['error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })

  const frames = vectors('yjs').filter(({ error, hex }) => error === 'malformed' && hex !== '')
  test.each(frames)('on the socket: $id', async ({ hex }) => {
    const { provider, told } = open()
    await pass(100)
    server.say(bytesOf(hex))
    await pass(5000)
    // What y-protocols takes for awareness is awareness.
    const errors = told.filter((word) => word.startsWith('error'))
    if (hex.startsWith('01')) expect(errors.length).toBeLessThan(2)
    else expect(errors).toEqual(['error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })

  test('a text on the socket', async () => {
    const { provider, told } = open()
    await pass(100)
    server.say('hello')
    await pass(5000)
    expect(told.filter((word) => word.startsWith('error'))).toEqual(['error nonsense 1006'])
    expect(provider.status).toBe('connected')
  })
})

describe('[CI20, CI21, CI22] sessions', () => {
  test('one is used for all links, and renewed in time', async () => {
    const token = vi.fn<() => string>(() => 'token')
    open({ token })
    await pass(100)
    server.cut()
    await pass(470_000)
    expect(server.requests).toEqual(['connect'])
    await pass(20_000)
    expect(server.requests).toEqual(['connect', 'refresh'])
    expect(token).toHaveBeenCalledOnce()
  })

  test('one that was forgotten is replaced', async () => {
    const { provider, told } = open({ token: 'token' })
    await pass(100)
    server.forget()
    server.cut()
    await pass(5000)
    expect(provider.status).toBe('connected')
    expect(told.filter((word) => word.startsWith('error'))).toEqual(['error connection 1006'])
    expect(server.requests).toEqual(['connect', 'connect'])
  })

  test('one that ends is prolonged with a new token', async () => {
    server.tokenLifeMs = server.sessionLifeMs = 60_000
    let number = 0
    const { told } = open({ token: async () => `token ${++number}` })
    await pass(200_000)
    expect(server.shown).toEqual(['token 1', 'token 2', 'token 3', 'token 4', 'token 5'])
    expect(told).toEqual(['connected', 'by websocket', 'synced true'])
  })

  test('a token that is no function is not asked to prolong anything', async () => {
    server.tokenLifeMs = server.sessionLifeMs = 60_000
    open({ token: 'token' })
    await pass(200_000)
    expect(server.requests).toEqual(['connect'])
  })

  test('clocks that differ by more than a token lasts do no harm', async () => {
    const answer = vi.fn<() => void>()
    server.answers = (path) => {
      if (path === 'refresh') answer()
      return null
    }
    server.tokenLifeMs = 3_600_000 * 24
    open()
    await pass(481_000)
    expect(answer).toHaveBeenCalledOnce()
  })
})

describe('[CI23] a token function that fails', () => {
  const failures: readonly (readonly [string, () => string | Promise<string>])[] = [
    ['throws', () => { throw new Error('down') }],
    ['rejects', async () => await Promise.reject(new Error('down'))],
    ['throws no error', async () => await Promise.reject('down' as unknown as Error)],
  ]
  test.each(failures)('%s: one event each time, and it is called again', async (_what, fail) => {
    let times = 0
    const { provider, told } = open({ token: () => (times++ < 2 ? fail() : 'token') })
    await pass(10_000)
    expect(told.filter((word) => word.startsWith('error'))).toEqual(['error token 1006', 'error token 1006'])
    expect(provider.status).toBe('connected')
  })

  test('never answers', async () => {
    const { told } = open({ token: async () => await new Promise<string>(() => {}) })
    await pass(30_100)
    expect(told).toEqual(['disconnected 1006', 'error token 1006'])
  })

  test('fails while the session is prolonged: the link stays', async () => {
    server.tokenLifeMs = server.sessionLifeMs = 60_000
    let times = 0
    const { told } = open({ token: () => { if (times++ === 1) throw new Error('down'); return 'token' } })
    await pass(100_000)
    expect(told).toEqual(['connected', 'by websocket', 'synced true', 'error token 1006'])
  })
})

describe('[CI24] a token that is refused', () => {
  test('is said once, and not shown again', async () => {
    server.accepts = () => false
    const { provider, told } = open({ token: 'stale' })
    const synced = provider.whenSynced()
    await pass(100_000)
    expect(told).toEqual(['disconnected 4401 final', 'error refused 4401', 'authentication failed 4401'])
    await expect(synced).rejects.toMatchObject({ code: 4401 })
    expect(server.shown).toEqual(['stale'])
  })
})

describe('[CI8] an observer that throws', () => {
  test('stops nothing, and is told', async () => {
    const document = new Doc()
    const [ana, bo] = [open({ document }), open()]
    await pass(100)
    document.getText('text').observe(() => {
      throw new Error('of the page')
    })
    bo.provider.document.getText('text').insert(0, 'a')
    await pass(100)
    bo.provider.document.getText('text').insert(1, 'b')
    await pass(100)
    expect(ana.text()).toBe('ab')
    expect(ana.told.filter((word) => word.startsWith('error'))).toEqual(['error application 0', 'error application 0'])
    expect(ana.provider.status).toBe('connected')
  })
})

describe('[CI7] tabs of one browser', () => {
  test('meet without the server, and each sends what it got', async () => {
    vi.useRealTimers()
    const meet = { broadcast: true, connect: false, url: `http://server/${crypto.randomUUID()}` }
    const [ana, bo] = [open(meet), open(meet)]
    server.network = false
    ana.provider.connect()
    ana.provider.document.getText('text').insert(0, 'early ')
    ana.provider.awareness?.setLocalStateField('user', 'Ana')
    bo.provider.connect()
    await vi.waitFor(() => expect(bo.text()).toBe('early '))
    bo.provider.document.getText('text').insert(6, 'late')
    await vi.waitFor(() => expect(ana.text()).toBe('early late'))
    await vi.waitFor(() => expect(bo.provider.awareness?.getStates().get(ana.provider.document.clientID)).toEqual({ user: 'Ana' }))
    expect([ana.provider.unsyncedChanges > 1, bo.provider.unsyncedChanges > 1]).toEqual([true, true])
    for (const { provider } of [ana, bo]) provider.destroy()
    vi.useFakeTimers()
  })
})
