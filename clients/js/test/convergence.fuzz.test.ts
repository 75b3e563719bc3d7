/**
 * Clients that edit while connections are cut, slowed down, blocked, answered twice and moved from sockets to polling and back, by
 * a server that dies now and then. Time is virtual and every choice the seed's, so that a seed that fails does so again.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { applyUpdate, Doc, encodeStateAsUpdate } from 'yjs'
import { CowriteProvider } from '../src/provider.ts'
import { FakeServer } from './fake_server.ts'
import { Random } from './random.ts'

const SEEDS = Number(process.env['COWRITE_FUZZ'] ?? 1) * 12
const FIRST_SEED = Number(process.env['COWRITE_FUZZ_FROM'] ?? 1)
const CLIENTS = 3
const STEPS = 120
const CALM_MS = 200_000

interface Client {
  readonly name: string
  readonly document: Doc
  readonly provider: CowriteProvider
  /** Edits that were made here. */
  made: number
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** At the end all are on sockets where the seed is odd; else all poll, and go on with sessions that have polled before. */
async function run(seed: number, mistake: Partial<FakeServer> = {}): Promise<{ transports: Set<string>; losses: number }> {
  const random = new Random(seed)
  vi.spyOn(Math, 'random').mockImplementation(() => random.next())
  const server = Object.assign(new FakeServer(), mistake)
  let slow = 5
  server.delay = () => random.below(slow)
  server.doubles = () => random.chance(0.2)
  const transports = new Set<string>()
  let [losses, forgotAt] = [0, 0]
  const complaints: string[] = []

  const clients = Array.from({ length: CLIENTS }, (_, index): Client => {
    const document = new Doc()
    document.clientID = index + 1
    const provider = new CowriteProvider({
      url: 'http://server/',
      name: 'plan',
      document,
      broadcast: false,
      WebSocketPolyfill: server.WebSocket,
      fetch: server.fetch,
    })
    const client: Client = { name: `client ${index}`, document, provider, made: 0 }
    provider.on('transport', ({ transport }) => {
      if (transport) transports.add(transport)
      else losses++
    })
    provider.on('error', ({ kind, message }) => {
      if (kind !== 'connection') complaints.push(message)
    })
    provider.on('unsyncedChanges', ({ number }) => {
      if (number === 0) expect(itemsOf(server.disk, client), `seed ${seed}: saved means on disk`).toEqual(upTo(client.made))
    })
    return client
  })

  /** Nothing is lost in between, or comes twice, or before what was made before it. */
  const inOrder = (): void => {
    for (const client of clients) {
      const found = itemsOf(server.live, client)
      expect(found, `seed ${seed}: in order`).toEqual(upTo(found.length))
    }
  }

  for (let step = 0; step < STEPS; step++) {
    const client = random.pick(clients)
    const dice = random.below(100)
    // Sessions that are forgotten one after the other, before they are used, are a reason to stay away.
    const mayForget = Date.now() - forgotAt > 60_000
    if (mayForget && dice >= 70 && dice < 78) forgotAt = Date.now()
    if (dice < 50) edit(client, random)
    else if (dice < 60) server.sockets = random.pick(['pass', 'pass', 'refuse', 'swallow'])
    else if (dice < 66) server.cut()
    else if (dice < 70) server.network = random.chance(0.6)
    else if (dice < 73 && mayForget) server.restart()
    else if (dice < 76) server.close(random.pick([1000, 1012, 4500, 4503]))
    else if (dice < 78 && mayForget) server.forget()
    else if (dice < 82) slow = random.pick([5, 5, 50, 1500, 3000])
    else if (dice < 84) client.provider.disconnect()
    else if (dice < 88) client.provider.connect()
    // oxlint-disable-next-line no-await-in-loop
    await vi.advanceTimersByTimeAsync(random.pick([0, 1, 10, 100, 1000, 5000]))
    inOrder()
  }

  server.network = true
  const last = seed % 2 === 1 ? 'websocket' : 'polling'
  server.sockets = last === 'websocket' ? 'pass' : 'refuse'
  slow = 5
  for (const { provider } of clients) provider.connect()
  server.cut()
  for (const client of clients) edit(client, random)
  await vi.advanceTimersByTimeAsync(CALM_MS)
  for (const client of clients) {
    const state = { status: client.provider.status, transport: client.provider.transport, unsaved: client.provider.unsyncedChanges }
    expect(state, `seed ${seed}`).toEqual({ status: 'connected', transport: last, unsaved: 0 })
    for (const other of clients) expect(itemsOf(client.document, other), `seed ${seed}`).toEqual(upTo(other.made))
    expect(client.document.getText('text').toString(), `seed ${seed}`).toBe(server.disk.getText('text').toString())
  }
  expect(complaints).toEqual([])
  for (const { provider } of clients) provider.destroy()
  await vi.advanceTimersByTimeAsync(CALM_MS)
  expect(vi.getTimerCount(), `seed ${seed}: nothing is left running`).toBe(0)
  return { transports, losses }
}

function edit(client: Client, random: Random): void {
  client.document.transact(() => {
    client.document.getArray(client.name).push([client.made++])
    const text = client.document.getText('text')
    text.insert(random.below(text.length + 1), String(client.made % 10))
    if (text.length > 5 && random.chance(0.3)) text.delete(random.below(text.length - 2), 2)
  })
}

function itemsOf(document: Doc, client: Client): unknown[] {
  const copy = new Doc()
  applyUpdate(copy, encodeStateAsUpdate(document))
  return copy.getArray(client.name).toArray()
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

test('[CI6] nothing is lost, repeated or reordered, whatever becomes of the transports', async () => {
  const seen = new Set<string>()
  let losses = 0
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    // oxlint-disable-next-line no-await-in-loop
    const ran = await run(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error })
    })
    for (const transport of ran.transports) seen.add(transport)
    losses += ran.losses
  }
  // The test has tested something.
  expect([...seen].toSorted()).toEqual(['polling', 'websocket'])
  expect(losses).toBeGreaterThan(SEEDS)
}, 300_000)

test('[CI6] and it would be seen: with a server that asks only once edits stay unsaved', async () => {
  const seen: string[] = []
  for (let seed = 2; seen.length === 0 && seed <= 12; seed += 2) {
    // oxlint-disable-next-line no-await-in-loop
    await run(seed, { asksAgain: false }).catch((error: unknown) => seen.push(String(error)))
    vi.clearAllTimers()
  }
  expect(seen).toEqual([expect.stringMatching(/seed \d+/u)])
}, 60_000)
