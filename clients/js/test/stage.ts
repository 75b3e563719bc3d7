/** What tests of clients begin and end with: a server in virtual time, and nothing that is left behind. */
import { afterEach, beforeEach, expect, vi } from 'vitest'
import type { Awareness } from 'y-protocols/awareness'
import { Doc } from 'yjs'
import type { ClientEvents } from '../src/client.ts'
import { OperationsClient } from '../src/operations.ts'
import { CowriteProvider } from '../src/provider.ts'
import type { CowriteProviderOptions } from '../src/provider.ts'
import { FakeServer } from './fake_server.ts'

export const stage: { server: FakeServer } = { server: new FakeServer() }
let opened: { destroy(): void }[] = []
const rejected: unknown[] = []
const note = (error: unknown): void => void rejected.push(error)

/** Before and after each test of the file. No promise may be rejected that nobody has asked for, and no timer may be left. */
export function setTheStage(): void {
  beforeEach(() => {
    vi.useFakeTimers()
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    stage.server = new FakeServer()
    opened = []
    rejected.length = 0
    process.on('unhandledRejection', note)
  })

  afterEach(async () => {
    for (const client of opened) client.destroy()
    await pass(100_000)
    expect(vi.getTimerCount()).toBe(0)
    vi.useRealTimers()
    vi.unstubAllGlobals()
    await new Promise((done) => setTimeout(done, 0))
    process.off('unhandledRejection', note)
    expect(rejected).toEqual([])
  })
}

/** What both clients have in common. */
interface Telling {
  on<K extends keyof ClientEvents>(name: K, listener: (event: ClientEvents[K]) => void): unknown
  destroy(): void
}

export interface Told {
  readonly provider: CowriteProvider
  readonly text: () => string
  readonly told: string[]
}

export function open(options: Partial<CowriteProviderOptions<Awareness>> = {}): Told {
  const { server } = stage
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
  return { provider, told: wordsOf(provider), text: () => document.getText('text').toString() }
}

export function openOperations(): { readonly client: OperationsClient; readonly told: string[] } {
  const { server } = stage
  const client = new OperationsClient({ url: 'http://server/notes', name: 'plan', WebSocketPolyfill: server.WebSocket, fetch: server.fetch })
  return { client, told: wordsOf(client) }
}

/** What the client tells, in words. */
function wordsOf(client: Telling): string[] {
  opened.push(client)
  const told: string[] = []
  client.on('status', ({ status, code, final }) => told.push(`${status}${code === undefined ? '' : ` ${code}`}${final ? ' final' : ''}`))
  client.on('transport', ({ transport }) => told.push(`by ${transport}`))
  client.on('synced', ({ state }) => told.push(`synced ${state}`))
  client.on('error', ({ kind, code }) => told.push(`error ${kind} ${code}`))
  client.on('authenticationFailed', ({ code }) => told.push(`authentication failed ${code}`))
  return told
}

export function errorsIn(told: readonly string[]): string[] {
  return told.filter((word) => word.startsWith('error'))
}

export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms)
}
