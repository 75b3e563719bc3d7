import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Awareness } from 'y-protocols/awareness'
import { Doc } from 'yjs'
import type { Text } from 'yjs'
import { CowriteProvider } from '../src/provider.ts'
import type { CowriteProviderOptions } from '../src/provider.ts'
import { FakeServer } from './fake_server.ts'

let server: FakeServer

beforeEach(() => {
  vi.useFakeTimers()
  server = new FakeServer()
})
afterEach(async () => {
  await pass(100_000)
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

function open(more: Partial<CowriteProviderOptions> = {}): { readonly provider: CowriteProvider<Awareness | null>; readonly text: Text } {
  const document = new Doc()
  const options = { url: 'http://server/', name: 'plan', broadcast: false }
  const provider = new CowriteProvider({ ...options, document, WebSocketPolyfill: server.WebSocket, fetch: server.fetch, ...more })
  return { provider, text: document.getText('text') }
}

async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
}

function onDisk(): string {
  return server.disk.getText('text').toString()
}

const NEVER = new Promise<never>(() => {})
const silent: typeof fetch = async (_url, init) =>
  await new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted'))))

describe('[CI6] whoever is destroyed while a session is asked for', () => {
  test.each([
    ['the token function', { token: async () => await NEVER }],
    ['connect', { fetch: silent }],
  ])('leaves no timer behind that waits for %s', async (_what, options) => {
    const { provider } = open({ ...options, awareness: null })
    await pass(100)
    expect(vi.getTimerCount()).toBe(1)
    provider.destroy()
    await pass(0)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('[CI14] whoever leaves', () => {
  /** From when sockets are let through, until the first of them is heard. */
  const GIVES_WAY_MS = 3430

  test.each(['pass', 'refuse'] as const)('has said everything before the session ends, where sockets: %s', async (sockets) => {
    server.sockets = sockets
    const [ana, bo] = [open(), open()]
    await pass(2500)
    const atTheEnd: string[] = []
    server.answers = (path) => {
      if (path === 'disconnect') atTheEnd.push(server.live.getText('text').toString())
      return null
    }
    ana.text.insert(0, 'last')
    ana.provider.destroy()
    expect(ana.provider.status).toBe('disconnected')
    await pass(100)
    expect([bo.text.toString(), onDisk()]).toEqual(['last', 'last'])
    expect(atTheEnd).toEqual(['last'])
    // With nothing under way it ends at once, as pages that are being left must.
    bo.provider.destroy()
    await pass(0)
    expect(server.requests.filter((path) => path === 'disconnect')).toHaveLength(2)
  })

  test('also while polling gives way to a socket', async () => {
    const left = new Set<unknown>()
    for (let moment = 0; moment < 600; moment += 20) {
      server = new FakeServer()
      server.sockets = 'refuse'
      const { provider, text } = open()
      // oxlint-disable-next-line no-await-in-loop
      await pass(2000)
      server.sockets = 'pass'
      server.delay = () => 200
      // oxlint-disable-next-line no-await-in-loop
      await pass(GIVES_WAY_MS - 100)
      text.insert(0, 'last')
      // oxlint-disable-next-line no-await-in-loop
      await pass(moment)
      left.add(provider.transport)
      provider.destroy()
      // oxlint-disable-next-line no-await-in-loop
      await pass(3000)
      expect(onDisk(), `left after ${moment} ms`).toBe('last')
    }
    expect(left).toEqual(new Set(['polling', 'websocket']))
  })
})
