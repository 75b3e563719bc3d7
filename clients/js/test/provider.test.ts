import { describe, expect, test, vi } from 'vitest'
import { Awareness } from 'y-protocols/awareness'
import { Doc } from 'yjs'
import { CowriteProvider } from '../src/provider.ts'
import { errorsIn, open, pass, setTheStage, stage } from './stage.ts'

setTheStage()

describe('[CI13] what is told', () => {
  test('of a connection that comes, goes and comes again', async () => {
    const { provider, told } = open()
    await pass(100)
    expect(told).toEqual(['connected', 'by websocket', 'synced true'])
    stage.server.cut()
    await pass(1000)
    const again = ['connecting', 'connected', 'by websocket', 'synced true']
    expect(told.splice(0)).toEqual(['connected', 'by websocket', 'synced true', 'synced false', 'disconnected 1006', 'by null', 'error connection 1006', ...again])
    provider.disconnect()
    await pass(100)
    expect(told).toEqual(['synced false', 'disconnected', 'by null'])
  })

  test('addresses are below the one that is given', async () => {
    const asked: string[] = []
    stage.server.answers = (_path, { href }) => (asked.push(href), null)
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
    expect(stage.server.disk.getText('text').toString()).toBe('before')
  })

  test('is never said where the server dies first', async () => {
    const { provider, text } = open()
    await pass(100)
    provider.document.getText('text').insert(0, 'lost?')
    await pass(10)
    stage.server.restart()
    stage.server.network = false
    await pass(30_000)
    expect(provider.hasUnsyncedChanges).toBe(true)
    stage.server.network = true
    await pass(20_000)
    expect([provider.hasUnsyncedChanges, stage.server.disk.getText('text').toString()]).toEqual([false, text()])
  })
})

describe('[CI10, CI12] sockets that are blocked', () => {
  test.each(['refuse', 'swallow'] as const)('polling within 3 s where they are: %s', async (sockets) => {
    stage.server.sockets = sockets
    const [ana, bo] = [open(), open()]
    await pass(2500)
    expect([ana.provider.transport, bo.provider.transport]).toEqual(['polling', 'polling'])
    ana.provider.document.getText('text').insert(0, 'hello')
    await pass(500)
    expect(bo.text()).toBe('hello')
    stage.server.sockets = 'pass'
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

/** By what it was connected. */
function by(told: readonly string[]): string[] {
  return told.filter((word) => word.startsWith('by ') && word !== 'by null')
}

describe('[CI10, CI12, CI17] sockets that bring what the server says, and swallow what the client does', () => {
  test('give way to polling, and are not taken back until they answer', async () => {
    const { server } = stage
    server.sockets = 'deaf'
    const { provider, told } = open()
    provider.document.getText('text').insert(0, 'x')
    await pass(60_000)
    expect(by(told)).toEqual(['by websocket', 'by websocket', 'by websocket', 'by polling'])
    expect([provider.hasUnsyncedChanges, server.disk.getText('text').toString()]).toEqual([false, 'x'])
    await pass(300_000)
    expect(by(told.splice(0))).toHaveLength(4)
    server.sockets = 'pass'
    await pass(75_000)
    expect(by(told)).toEqual(['by websocket'])
  })

  test('also where somebody else types all the time', async () => {
    const bo = open()
    await pass(100)
    stage.server.sockets = 'deaf'
    const ana = open()
    ana.provider.document.getText('text').insert(0, 'x')
    for (let second = 0; second < 120; second++) {
      bo.provider.document.getText('text').insert(0, '.')
      // oxlint-disable-next-line no-await-in-loop
      await pass(1000)
    }
    expect([ana.provider.transport, ana.provider.hasUnsyncedChanges]).toEqual(['polling', false])
  })
})

describe('[CI17] a connection that is silent', () => {
  test('is noticed, whatever is done to the clock', async () => {
    const { provider, told } = open()
    await pass(100)
    vi.setSystemTime(Date.now() - 3_600_000)
    stage.server.network = false
    provider.document.getText('text').insert(0, 'x')
    await pass(13_500)
    expect(told).toContain('disconnected 1006')
  })

  test('is noticed, and replaced', async () => {
    const { provider, told } = open()
    await pass(100)
    stage.server.network = false
    provider.document.getText('text').insert(0, 'x')
    await pass(13_500)
    expect(told).toContain('disconnected 1006')
    stage.server.network = true
    await pass(15_000)
    expect(stage.server.disk.getText('text').toString()).toBe('x')
  })

  test('and one on which nobody types is none', async () => {
    const { told } = open()
    await pass(300_000)
    expect(told).toEqual(['connected', 'by websocket', 'synced true'])
  })
})

describe('[CI20, CI21, CI22] sessions', () => {
  test('one is used for all links, and renewed in time', async () => {
    const token = vi.fn<() => string>(() => 'token')
    open({ token })
    await pass(100)
    stage.server.cut()
    await pass(470_000)
    expect(stage.server.requests).toEqual(['connect'])
    await pass(20_000)
    expect(stage.server.requests).toEqual(['connect', 'refresh'])
    expect(token).toHaveBeenCalledOnce()
  })

  test('one that was forgotten is replaced', async () => {
    const { provider, told } = open({ token: 'token' })
    await pass(100)
    stage.server.forget()
    stage.server.cut()
    await pass(5000)
    expect(provider.status).toBe('connected')
    expect(errorsIn(told)).toEqual(['error connection 1006'])
    expect(stage.server.requests).toEqual(['connect', 'connect'])
  })

  test('one that ends is prolonged with a new token', async () => {
    stage.server.tokenLifeMs = stage.server.sessionLifeMs = 60_000
    let number = 0
    const { told } = open({ token: async () => `token ${++number}` })
    await pass(200_000)
    expect(stage.server.shown).toEqual(['token 1', 'token 2', 'token 3', 'token 4', 'token 5'])
    expect(told).toEqual(['connected', 'by websocket', 'synced true'])
  })

  test('a token that is no function is not asked to prolong anything', async () => {
    stage.server.tokenLifeMs = stage.server.sessionLifeMs = 60_000
    open({ token: 'token' })
    await pass(200_000)
    expect(stage.server.requests).toEqual(['connect'])
  })

  test('clocks that differ by more than a token lasts do no harm', async () => {
    const answer = vi.fn<() => void>()
    stage.server.answers = (path) => {
      if (path === 'refresh') answer()
      return null
    }
    stage.server.tokenLifeMs = 3_600_000 * 24
    stage.server.sessionLifeMs = 3_600_000 * 48
    open()
    await pass(481_000)
    expect(answer).toHaveBeenCalledOnce()
  })
})

/** Renewals in the first 10 minutes. */
async function renewals(dated: boolean): Promise<number> {
  const { server } = stage
  server.aheadMs = -900_000
  const { fetch } = server
  const undated: typeof fetch = async (...request) => {
    const answer = await fetch(...request)
    answer.headers.delete('date')
    return answer
  }
  open({ fetch: dated ? fetch : undated })
  await pass(600_000)
  return server.requests.filter((path) => path === 'refresh').length
}

describe('[CI21] a clock that is 15 minutes ahead', () => {
  test('changes nothing', async () => {
    expect(await renewals(true)).toBe(1)
  })

  test('brings no storm where the server’s clock cannot be read', async () => {
    expect(await renewals(false)).toBe(25 - 1)
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
    expect(errorsIn(told)).toEqual(['error token 1006', 'error token 1006'])
    expect(provider.status).toBe('connected')
  })

  test('never answers', async () => {
    const { told } = open({ token: async () => await new Promise<string>(() => {}) })
    await pass(30_100)
    expect(told).toEqual(['disconnected 1006', 'error token 1006'])
  })

  test('fails while the session is prolonged: the link stays', async () => {
    stage.server.tokenLifeMs = stage.server.sessionLifeMs = 60_000
    let times = 0
    const { told } = open({ token: () => { if (times++ === 1) throw new Error('down'); return 'token' } })
    await pass(100_000)
    expect(told).toEqual(['connected', 'by websocket', 'synced true', 'error token 1006'])
  })
})

describe('[CI24] a token that is refused', () => {
  test('is said once, and not shown again', async () => {
    stage.server.accepts = () => false
    const { provider, told } = open({ token: 'stale' })
    const synced = provider.whenSynced()
    await pass(100_000)
    expect(told).toEqual(['disconnected 4401 final', 'error refused 4401', 'authentication failed 4401'])
    await expect(synced).rejects.toMatchObject({ code: 4401 })
    expect(stage.server.shown).toEqual(['stale'])
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
    expect(errorsIn(ana.told)).toEqual(['error application 0', 'error application 0'])
    expect(ana.provider.status).toBe('connected')
  })
})

function breakDown(): void {
  throw new Error('of the page')
}

describe('[CI8] a listener of the awareness that throws', () => {
  test('stops nothing, and is told', async () => {
    const document = new Doc()
    const awareness = new Awareness(document)
    const [ana, bo] = [open({ document, awareness }), open()]
    await pass(100)
    awareness.on('change', breakDown)
    bo.provider.awareness?.setLocalStateField('user', 'Bo')
    await pass(100)
    expect(errorsIn(ana.told)).toEqual(['error application 0'])
    expect(awareness.getStates().get(bo.provider.document.clientID)).toEqual({ user: 'Bo' })
    bo.provider.document.getText('text').insert(0, 'a')
    await pass(100)
    expect([ana.text(), ana.provider.status]).toEqual(['a', 'connected'])
    // Bo is not seen any more, and that throws, too.
    stage.server.cut()
    await pass(1000)
    expect(ana.told.filter((word) => /connected/u.test(word))).toEqual(['connected', 'disconnected 1006', 'connected'])
    ana.provider.destroy() // nor is Bo then
    expect(errorsIn(ana.told).filter((word) => word !== 'error connection 1006').length).toBeGreaterThan(2)
    expect(new Set(errorsIn(ana.told))).toEqual(new Set(['error application 0', 'error connection 1006']))
    awareness.off('change', breakDown)
    awareness.destroy()
  })
})

describe('[CI8] a listener that throws', () => {
  test('is told as an error, and stops neither the others nor the connection', async () => {
    const { provider, told } = open({ connect: false })
    const heard: string[] = []
    provider.on('status', breakDown)
    provider.on('status', ({ status }) => heard.push(status))
    provider.connect()
    await pass(100)
    expect([heard, provider.status]).toEqual([['connecting', 'connected'], 'connected'])
    expect(errorsIn(told)).toEqual(['error application 0', 'error application 0'])
  })

  test('of errors is written to the console', async () => {
    const written = vi.spyOn(console, 'error').mockReturnValue()
    const { provider } = open({ connect: false })
    provider.on('error', breakDown)
    stage.server.network = false
    provider.connect()
    await pass(100)
    expect(written).toHaveBeenCalledWith(new Error('of the page'))
    written.mockRestore()
  })

  test('is reported where pages report what nobody caught', async () => {
    const reported = vi.fn<(error: unknown) => void>()
    vi.stubGlobal('reportError', reported)
    const { provider, told } = open({ connect: false })
    provider.on('status', breakDown)
    provider.connect()
    await pass(100)
    expect(reported).toHaveBeenCalledTimes(2)
    expect(errorsIn(told)).toEqual([])
  })
})

test('[CI13] a listener for one event is told one, or none where it was taken off before', async () => {
  const { provider } = open({ connect: false })
  const [one, none, all] = [vi.fn<() => void>(), vi.fn<() => void>(), vi.fn<() => void>()]
  provider.on('status', all).once('status', one).once('status', none).off('status', none)
  provider.connect()
  await pass(100)
  expect([all, one, none].map(({ mock }) => mock.calls.length)).toEqual([2, 1, 0])
})
