/** Polling as the demo page's own transport once did it, and what browsers do to pages that nobody sees. */
import { describe, expect, test, vi } from 'vitest'
import { unseal } from '../src/core/envelope.ts'
import { problem } from './fake_server.ts'
import { errorsIn, open, openOperations, pass, setTheStage, stage } from './stage.ts'

setTheStage()

/** The `wait` of each poll so far, and when it came. */
function notePolls(): { readonly wait: number; readonly at: number }[] {
  const began = Date.now()
  const polls: { wait: number; at: number }[] = []
  stage.server.answers = (path, url) => {
    if (path === 'poll') polls.push({ wait: Number(url.searchParams.get('wait')), at: Date.now() - began })
    return null
  }
  return polls
}

/** A page, as far as the client looks at it. */
class Page {
  readonly window = new EventTarget()
  readonly document = Object.assign(new EventTarget(), { visibilityState: 'visible' })

  constructor() {
    vi.stubGlobal('window', this.window)
    vi.stubGlobal('document', this.document)
  }

  becomes(visibility: 'visible' | 'hidden'): void {
    this.document.visibilityState = visibility
    this.document.dispatchEvent(new Event('visibilitychange'))
  }
}

describe('[CI18] what is sent by polling', () => {
  test('while a request is under way goes into the next one, and none overtakes another', async () => {
    stage.server.sockets = 'refuse'
    const { provider } = open()
    await pass(1000)
    const sizes: number[] = []
    stage.server.answers = (path, _url, { body }) => {
      if (path === 'operations') sizes.push(unseal(body as Uint8Array).length)
      return null
    }
    stage.server.delay = () => 100
    for (const part of ['a', 'b', 'c', 'd']) {
      provider.document.getText('text').insert(0, part)
      // oxlint-disable-next-line no-await-in-loop
      await pass(50)
    }
    await pass(1000)
    expect(sizes).toEqual([1, 3])
    expect(stage.server.disk.getText('text').toString()).toBe('dcba')
    expect(provider.unsyncedChanges).toBe(0)
  })

  test('goes in requests of at most 256 KiB, one message at least', async () => {
    stage.server.sockets = 'refuse'
    const { provider } = open()
    await pass(1000)
    const sizes: number[] = []
    stage.server.answers = (path, _url, { body }) => {
      if (path === 'operations') sizes.push(unseal(body as Uint8Array).length)
      return null
    }
    const text = provider.document.getText('text')
    for (const length of [400_000, 100_000, 100_000, 100_000]) text.insert(0, 'x'.repeat(length))
    await pass(1000)
    expect(sizes).toEqual([1, 2, 1])
    expect(provider.unsyncedChanges).toBe(0)
  })
})

describe('[CI11] the server asks to be left alone', () => {
  const asked: readonly (readonly [string, number])[] = [
    ['10', 10_000],
    ['86400', 60_000],
  ]
  test.each(asked)('Retry-After: %s', async (seconds, ms) => {
    const page = new Page()
    const since = Date.now()
    const times: number[] = []
    stage.server.answers = (path) => {
      if (path !== 'connect') return null
      times.push(Date.now() - since)
      return times.length < 2 ? problem(503, 'overloaded', { 'retry-after': seconds }) : null
    }
    const { provider } = open()
    for (let second = 0; second * 1000 < ms + 1000; second++) {
      page.window.dispatchEvent(new Event('online')) // no reason to come back sooner
      // oxlint-disable-next-line no-await-in-loop
      await pass(1000)
    }
    expect(provider.status).toBe('connected')
    expect(times).toHaveLength(2)
    expect(times[1]).toBeGreaterThanOrEqual(ms)
    expect(times[1]).toBeLessThan(ms + 100)
  })

  test.each(['-5', 'soon', 'Wed, 21 Oct 2026 07:28:00 GMT', ''])('Retry-After: %j is none', async (text) => {
    const page = new Page()
    stage.server.answers = (path) =>
      path === 'connect' && stage.server.requests.length < 2 ? problem(503, 'overloaded', { 'retry-after': text }) : null
    const { provider } = open()
    await pass(200)
    expect(stage.server.requests).toEqual(['connect'])
    page.window.dispatchEvent(new Event('online'))
    await pass(100)
    expect(provider.status).toBe('connected')
  })

  test.each(['operations', 'poll'])('while it polls: %s', async (wanted) => {
    stage.server.sockets = 'refuse'
    const { provider, told } = open()
    await pass(1000)
    stage.server.answers = (path) => (path === wanted ? problem(503, 'unavailable', { 'retry-after': '20' }) : null)
    provider.document.getText('text').insert(0, 'x')
    await pass(500)
    expect(errorsIn(told)).toEqual(['error connection 4503'])
    stage.server.answers = () => null
    const before = stage.server.requests.length
    await pass(19_000)
    expect(stage.server.requests).toHaveLength(before)
    await pass(3000)
    expect([provider.status, provider.unsyncedChanges]).toEqual(['connected', 0])
  })
})

describe('[CI19] polls that something on the way cuts', () => {
  test('are repeated at once, and wait for less and less time; nobody notices', async () => {
    stage.server.sockets = 'refuse'
    const polls = notePolls()
    const { provider, text, told } = open()
    const other = open()
    await pass(1000)
    other.provider.disconnect()
    polls.length = told.length = 0
    const ask = stage.server.answers
    stage.server.answers = (path, url, init) => {
      ask(path, url, init)
      if (path === 'poll' && Number(url.searchParams.get('wait')) > 3) throw new TypeError('fetch failed')
      return null
    }
    await pass(60_000)
    expect(told).toEqual([])
    other.provider.connect()
    other.provider.document.getText('text').insert(0, 'news')
    await pass(5000)
    expect(text()).toBe('news')
    expect([...new Set(polls.map(({ wait }) => wait))]).toEqual([20, 0, 10, 5, 2.5])
    expect(provider.transport).toBe('polling')
  })
})

describe('[CI19] a page that nobody sees', () => {
  const kinds = [
    ['CowriteProvider', open],
    ['OperationsClient', openOperations],
  ] as const
  test.each(kinds)('%s asks every 4 s and holds no connection; one that is seen again does', async (_name, start) => {
    stage.server.sockets = 'refuse'
    const page = new Page()
    page.becomes('hidden')
    const polls = notePolls()
    const note = stage.server.answers
    stage.server.answers = (path, url, init) => {
      note(path, url, init)
      const json = new Headers(init.headers).get('accept') === null
      return path === 'poll' && json ? new Response(JSON.stringify({ operations: [], head: null, offset: 0, presence: [] })) : null
    }
    start()
    await pass(30_000)
    expect(new Set(polls.map(({ wait }) => wait))).toEqual(new Set([0]))
    const gaps = polls.slice(1).map(({ at }, index) => at - (polls[index]?.at ?? 0))
    expect(gaps.length).toBeGreaterThan(5)
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(4000)
    page.becomes('visible')
    await pass(5000)
    expect(polls.at(-1)?.wait).toBe(20)
  })

  test('wakes after a long sleep: the clock has gone on, its token is over, and nothing is lost', async () => {
    for (const sockets of ['pass', 'refuse'] as const) {
      stage.server.sockets = sockets
      const { provider, told } = open({ token: () => 'token' })
      // oxlint-disable-next-line no-await-in-loop
      await pass(1000)
      provider.document.getText('text').insert(0, 'x')
      vi.setSystemTime(Date.now() + 4_000_000) // timers stood still
      stage.server.cut()
      // oxlint-disable-next-line no-await-in-loop
      await pass(20_000)
      expect([provider.status, provider.unsyncedChanges]).toEqual(['connected', 0])
      expect(told.filter((word) => word.endsWith('final'))).toEqual([])
    }
  })

  test('whose timers run once a minute stays connected, and its session is renewed', async () => {
    const set = globalThis.setInterval
    const { told } = open()
    await pass(100)
    told.length = 0
    // What the browser does to the timer that looks whether anything comes.
    vi.spyOn(globalThis, 'setInterval').mockImplementation(((work: () => void, ms: number) => set(work, Math.max(60_000, ms))) as typeof setInterval)
    stage.server.cut()
    await pass(2000)
    told.length = 0
    await pass(1_800_000)
    expect(told).toEqual([])
    vi.mocked(globalThis.setInterval).mockRestore()
  })
})

describe('[CI11] hints of the browser', () => {
  test.each(['online', 'pageshow'])('%s: it is tried at once', async (name) => {
    const page = new Page()
    const { provider } = open()
    await pass(100)
    stage.server.network = false
    stage.server.cut()
    await pass(60_000)
    stage.server.network = true
    expect(provider.status).not.toBe('connected')
    page.window.dispatchEvent(new Event(name))
    await pass(100)
    expect(provider.status).toBe('connected')
  })

  test('a page that is seen again is one, a page that is hidden is none', async () => {
    const page = new Page()
    stage.server.answers = (path) => (path === 'connect' ? new Response('', { status: 502 }) : null)
    open()
    await pass(60_000)
    const asked = stage.server.requests.length
    page.becomes('hidden')
    await pass(0)
    expect(stage.server.requests).toHaveLength(asked)
    page.becomes('visible')
    await pass(0)
    expect(stage.server.requests).toHaveLength(asked + 1)
  })

  test('offline: a WebSocket that leads nowhere is given up 8 s later', async () => {
    const page = new Page()
    const { told } = open()
    await pass(100)
    stage.server.network = false
    page.window.dispatchEvent(new Event('offline'))
    await pass(7500)
    expect(errorsIn(told)).toEqual([])
    await pass(2000)
    expect(errorsIn(told)).toEqual(['error connection 1006'])
  })

  test('after disconnect() nobody listens', async () => {
    const page = new Page()
    const listens = vi.spyOn(page.window, 'addEventListener')
    const { provider } = open()
    await pass(100)
    const signals = listens.mock.calls.map(([, , options]) => (options as AddEventListenerOptions).signal)
    expect(signals.map((signal) => signal?.aborted)).toEqual([false, false, false])
    provider.disconnect()
    expect(signals.map((signal) => signal?.aborted)).toEqual([true, true, true])
    await pass(100)
    const asked = stage.server.requests.length
    for (const name of ['online', 'offline', 'pageshow']) page.window.dispatchEvent(new Event(name))
    page.becomes('visible')
    await pass(1000)
    expect(stage.server.requests).toHaveLength(asked)
  })
})

describe('[CI21] clocks', () => {
  test.each([0, 3_600_000, -3_600_000])('that are %i ms apart: renewed after four fifths, and the new token is used', async (ahead) => {
    vi.setSystemTime(1_800_000_000_000)
    stage.server.sockets = 'refuse'
    stage.server.aheadMs = ahead
    const bearers = new Set<string | null>()
    stage.server.answers = (path, _url, init) => {
      if (path === 'poll') bearers.add(new Headers(init.headers).get('authorization'))
      return null
    }
    const { told } = open()
    await pass(470_000)
    expect([bearers.size, stage.server.requests.includes('refresh')]).toEqual([1, false])
    await pass(60_000)
    expect([bearers.size, stage.server.requests.filter((path) => path === 'refresh').length]).toEqual([2, 1])
    await pass(480_000)
    expect(bearers.size).toBe(3)
    expect(errorsIn(told)).toEqual([])
  })
})
