import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PollingSocket } from '../../src/transport/polling.ts'
import { placeOf } from '../../src/transport/session.ts'
import {
  acknowledged,
  ADDRESS,
  bearerOf,
  bodyOf,
  FakeServer,
  LIFE_MS,
  listen,
  newNetwork,
  settled,
  STEP_1,
  STEP_2,
  update,
} from './fakes.ts'

let server: FakeServer
let network = newNetwork()
let socket: PollingSocket
let told: string[]

beforeEach(() => {
  vi.useFakeTimers({ now: 1_800_000_000_000, toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  server = new FakeServer()
  network = newNetwork()
})

afterEach(() => {
  socket.close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

function start(): void {
  socket = new PollingSocket(ADDRESS, network)
  told = listen(socket)
}

async function open(): Promise<void> {
  start()
  await server.admit()
}

/** Opens it, and has its first request answered, so that it polls. */
async function join(): Promise<void> {
  await open()
  socket.send(STEP_1)
  await (await server.next('operations')).answer([STEP_2])
}

describe('[PG26] what is sent', () => {
  test('at once goes into one request, what comes meanwhile into the next', async () => {
    await open()
    socket.send(STEP_1)
    socket.send(update(1))
    const first = await server.next('operations')
    expect(bodyOf(first)).toEqual([STEP_1, update(1)])
    socket.send(update(2))
    socket.send(update(3))
    await settled()
    expect(server.waiting).toEqual([])
    await first.answer([STEP_2, acknowledged(1, 1)])
    expect(bodyOf(await server.next('operations'))).toEqual([update(2), update(3)])
  })

  test('in answer to an answer waits for its turn, too', async () => {
    await open()
    socket.onmessage = () => socket.send(update(7))
    for (const mark of [1, 2, 3]) socket.send(new Uint8Array(200_000).fill(mark))
    for (const size of [1, 1, 3]) {
      const request = await server.next('operations')
      expect(server.waiting.filter((path) => path === 'operations')).toEqual([])
      expect(bodyOf(request)).toHaveLength(size)
      await request.answer(size === 3 ? [] : [STEP_1])
    }
  })

  test('is a copy', async () => {
    await open()
    const message = update(1)
    socket.send(message)
    message.fill(9)
    expect(bodyOf(await server.next('operations'))).toEqual([update(1)])
  })

  test('before it is open or when it is closed goes nowhere', async () => {
    start()
    socket.send(STEP_1)
    await server.admit()
    socket.close()
    socket.send(STEP_1)
    await settled()
    expect(server.waiting).toEqual([])
  })
})

test('[PG24] acknowledgements count over all requests', async () => {
  await open()
  socket.send(STEP_2)
  await (await server.next('operations')).answer([acknowledged(1, 5)])
  socket.send(update(1))
  socket.send(update(2))
  await (await server.next('operations')).answer([acknowledged(2, 6)])
  expect(told).toEqual(['open', 'message 100 1 5', 'message 100 3 6'])
})

describe('[PG23] polling', () => {
  test('goes on from the last cursor', async () => {
    await join()
    const first = await server.next('poll')
    expect(Object.fromEntries(first.url.searchParams)).toEqual({ document_id: 'a/b.markdown', cursor: 'c', wait: '20' })
    await first.answer([update(4)], { headers: { 'cowrite-cursor': 'd' } })
    await vi.advanceTimersByTimeAsync(50)
    expect((await server.next('poll')).url.searchParams.get('cursor')).toBe('d')
    expect(told).toEqual(['open', `message ${STEP_2.join(' ')}`, `message ${update(4).join(' ')}`])
  })

  test.each([
    ['ws://host/yjs/plan', 'http://host/api/v2/realtime/', 'plan', null],
    ['wss://host:8/notes/yjs/a%2Fyjs%2Fb?token=t%2B', 'https://host:8/notes/api/v2/realtime/', 'a/yjs/b', 't+'],
  ])('%s is at %s', (address, api, document, token) => {
    expect(placeOf(address)).toEqual({ api: new URL(api), document, token })
  })
})

test('[PG30] a window that nobody sees holds no connection', async () => {
  const view = { hidden: true }
  vi.stubGlobal('document', view)
  await join()
  const poll = await server.next('poll')
  expect(poll.url.searchParams.get('wait')).toBe('0')
  await poll.answer([])
  await vi.advanceTimersByTimeAsync(3000)
  expect(server.waiting).toEqual([])
  view.hidden = false
  await vi.advanceTimersByTimeAsync(1000)
  expect((await server.next('poll')).url.searchParams.get('wait')).toBe('20')
})

describe('[PG27] a request that fails', () => {
  test.each(['operations', 'poll'])('ends the connection: %s', async (path) => {
    await join()
    socket.send(update(1))
    await (await server.next(path)).answer({ code: 'document_deleted' }, { status: 410 })
    expect(told.at(-1)).toBe('close 4410')
    expect(socket.readyState).toBe(3)
    await vi.advanceTimersByTimeAsync(LIFE_MS)
    expect(told.filter((event) => event.startsWith('close'))).toHaveLength(1)
    expect(server.beacons).toEqual(['/notes/api/v2/realtime/disconnect token 1'])
  })

  test('before it was open', async () => {
    start()
    await (await server.next('connect')).answer({ code: 'unauthorized' }, { status: 401 })
    expect(told).toEqual(['close 4401'])
    expect(server.beacons).toEqual([])
  })

  test('with an access token that has ended is no refusal', async () => {
    await join()
    await (await server.next('poll')).answer({ code: 'unauthorized' }, { status: 401 })
    expect(told.at(-1)).toBe('close 4508')
  })

  test.each([
    ['that cannot be read', { 'cowrite-cursor': 'c' }], // a message of 123 bytes, of which one is there
    ['of somebody else', undefined],
  ])('with an answer %s', async (_which, headers) => {
    await join()
    await (await server.next('poll')).answer({}, headers && { headers })
    expect(told.at(-1)).toBe('close 1006')
  })

  test('because the server wants a rest: the next connection leaves it one', async () => {
    start()
    await (await server.next('connect')).answer({ code: 'overloaded' }, { status: 503, headers: { 'retry-after': '10' } })
    start()
    await vi.advanceTimersByTimeAsync(9900)
    expect(server.waiting).toEqual([])
    await vi.advanceTimersByTimeAsync(100)
    await server.admit()
    expect(told).toEqual(['open'])
  })

  test('because something cuts off what takes long: the next ones take less', async () => {
    await join()
    await vi.advanceTimersByTimeAsync(15_000)
    await (await server.next('poll')).breakOff()
    expect(told.at(-1)).toBe('close 1006')
    await join()
    expect((await server.next('poll')).url.searchParams.get('wait')).toBe('10')
  })
})

describe('[PG28] the session', () => {
  test.each([0, 3_600_000, -3_600_000])('is renewed before its token ends, with clocks %i ms apart', async (skew) => {
    server.skew = skew
    await join()
    await vi.advanceTimersByTimeAsync(LIFE_MS * 0.7)
    expect(server.waiting).toEqual(['poll'])
    await vi.advanceTimersByTimeAsync(LIFE_MS * 0.1)
    await server.admit('refresh')
    socket.send(update(1))
    expect(bearerOf(await server.next('operations'))).toBe('Bearer token 2')
    await vi.advanceTimersByTimeAsync(LIFE_MS * 0.8)
    await server.admit('refresh')
  })

  test('ends with the connection', async () => {
    await join()
    socket.send(Uint8Array.of(1, 0)) // awareness: it ends with the session
    socket.close()
    expect(server.beacons).toEqual(['/notes/api/v2/realtime/disconnect token 1'])
    await settled()
    expect(server.waiting).toEqual(['poll'])
  })

  test('ends after what has not been sent, or not been answered', async () => {
    await join()
    socket.send(update(1))
    await server.next('operations')
    socket.send(update(2))
    socket.close()
    const rest = await server.next('operations')
    expect([bodyOf(rest), rest.init.keepalive]).toEqual([[update(1), update(2)], true])
    expect(server.beacons).toEqual([])
    await rest.answer([])
    expect(server.beacons).toEqual(['/notes/api/v2/realtime/disconnect token 1'])
  })

  test('is not opened any more when it is closed before', async () => {
    start()
    await settled()
    socket.close()
    await server.admit()
    expect([told, server.beacons]).toEqual([[], []])
  })
})
