import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { choosingSocket } from '../../src/transport/choosing.ts'
import { ADDRESS, bodyOf, FakeServer, FakeWebSocket, listen, newNetwork, PROTOCOLS, settled, STEP_1, update } from './fakes.ts'

const HALF_A_MINUTE = 30_000

let server: FakeServer
let network = newNetwork()
let socket: WebSocket
let told: string[]
let noted: string[]

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  server = new FakeServer()
  network = newNetwork()
})

afterEach(() => {
  socket.close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** As the provider does it. */
function start(): void {
  noted = []
  const Chosen = choosingSocket(network, {
    opened: (by) => noted.push(by),
    sent: (message) => noted.push(`sent ${message.length}`),
  })
  socket = new Chosen(ADDRESS, PROTOCOLS)
  socket.binaryType = 'arraybuffer'
  told = listen(socket)
}

/** Starts one that polls. */
async function poll(): Promise<void> {
  start()
  FakeWebSocket.last.ends(1006)
  await server.admit()
}

describe('[PG23] a WebSocket that opens', () => {
  test('carries everything, and nothing is asked by HTTP', async () => {
    start()
    expect(FakeWebSocket.last.binaryType).toBe('arraybuffer')
    expect(socket.readyState).toBe(socket.CONNECTING)
    FakeWebSocket.last.opens()
    expect(socket.readyState).toBe(socket.OPEN)
    FakeWebSocket.last.says(STEP_1)
    socket.send(update(1))
    await vi.advanceTimersByTimeAsync(2 * HALF_A_MINUTE)
    FakeWebSocket.last.ends(1006)
    expect(told).toEqual(['open', `message ${STEP_1.join(' ')}`, 'close 1006'])
    expect(noted).toEqual(['socket', 'sent 4'])
    expect(FakeWebSocket.last.sent).toEqual([update(1)])
    expect([server.waiting, network.blocked]).toEqual([[], false])
  })

  test('and is then refused with a code is not blocked', async () => {
    start()
    FakeWebSocket.last.opens()
    FakeWebSocket.last.ends(4403)
    await settled()
    expect([told, server.waiting, network.blocked]).toEqual([['open', 'close 4403'], [], false])
  })

  test.each(['breaks', 'is given up by the provider'])('and %s before anything came through is blocked', (what) => {
    start()
    FakeWebSocket.last.opens()
    if (what === 'breaks') FakeWebSocket.last.ends(1006)
    else socket.close()
    expect(network.blocked).toBe(true)
  })

  test('and breaks counts once, although the provider closes it then', () => {
    network.socketWorked()
    start()
    FakeWebSocket.last.opens()
    FakeWebSocket.last.ends(1006)
    socket.close()
    expect(network.blocked).toBe(false)
  })
})

describe('[PG23] a WebSocket that does not open', () => {
  test('because it fails: it is polling, and the next time at once', async () => {
    await poll()
    socket.send(STEP_1)
    expect(bodyOf(await server.next('operations'))).toEqual([STEP_1])
    expect([told, noted]).toEqual([['open'], ['polling', 'sent 4']])
    socket.close()
    start()
    await server.admit()
    expect(told).toEqual(['open'])
    expect(FakeWebSocket.made).toHaveLength(1)
  })

  test('because the browser forbids it', async () => {
    vi.stubGlobal('WebSocket', undefined)
    start()
    await server.admit()
    await vi.advanceTimersByTimeAsync(2 * HALF_A_MINUTE)
    expect([told, noted]).toEqual([['open'], ['polling']])
  })

  test('in 2.5 s', async () => {
    start()
    await vi.advanceTimersByTimeAsync(2400)
    expect(server.waiting).toEqual([])
    await vi.advanceTimersByTimeAsync(100)
    expect(FakeWebSocket.last.readyState).toBe(3)
    await server.admit()
    expect([told, noted]).toEqual([['open'], ['polling']])
  })

  test('nor does HTTP work: there is no connection, and nothing is learned', async () => {
    start()
    FakeWebSocket.last.ends(1006)
    await (await server.next('connect')).breakOff()
    expect([told, network.blocked]).toEqual([['close 1006'], false])
  })

  test('although one did before: the server may just be restarting, so once more', async () => {
    network.socketWorked()
    await poll()
    expect([told, noted, server.beacons.length]).toEqual([['close 1006'], [], 1])
    await poll()
    expect(told).toEqual(['open'])
  })

  test('and is closed meanwhile: nothing goes on', async () => {
    start()
    socket.close()
    await vi.advanceTimersByTimeAsync(2 * HALF_A_MINUTE)
    expect([told, server.waiting]).toEqual([[], []])
  })
})

describe('[PG25] while polling', () => {
  test('a WebSocket is tried every 30 s, and takes over when something comes through it', async () => {
    await poll()
    await vi.advanceTimersByTimeAsync(HALF_A_MINUTE - 1)
    expect(FakeWebSocket.made).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    FakeWebSocket.last.ends(1006)
    await vi.advanceTimersByTimeAsync(HALF_A_MINUTE)
    expect(FakeWebSocket.made).toHaveLength(3)
    FakeWebSocket.last.opens()
    expect(told).toEqual(['open'])
    FakeWebSocket.last.says(STEP_1)
    expect(told).toEqual(['open', 'close 1012'])
    expect([FakeWebSocket.last.readyState, server.beacons.length]).toEqual([3, 1])
    start()
    expect(FakeWebSocket.made).toHaveLength(4)
  })

  test('one that opens and stays silent is given up', async () => {
    await poll()
    await vi.advanceTimersByTimeAsync(HALF_A_MINUTE)
    const silent = FakeWebSocket.last
    silent.opens()
    await vi.advanceTimersByTimeAsync(2500)
    expect(silent.readyState).toBe(3)
    await vi.advanceTimersByTimeAsync(HALF_A_MINUTE)
    expect(FakeWebSocket.made).toHaveLength(3)
    expect(told).toEqual(['open'])
  })

  test('another document of this window may have found that WebSockets work', async () => {
    await poll()
    network.socketWorked()
    await vi.advanceTimersByTimeAsync(HALF_A_MINUTE)
    expect(told).toEqual(['open', 'close 1012'])
  })

  test('a WebSocket that is being tried goes with the connection', async () => {
    await poll()
    await vi.advanceTimersByTimeAsync(HALF_A_MINUTE)
    socket.send(STEP_1)
    await (await server.next('operations')).breakOff()
    expect(told).toEqual(['open', 'close 1006'])
    expect(FakeWebSocket.last.readyState).toBe(3)
    await vi.advanceTimersByTimeAsync(2 * HALF_A_MINUTE)
    expect(FakeWebSocket.made).toHaveLength(2)
  })

  test('nothing goes on once the provider has closed it', async () => {
    await poll()
    socket.close()
    await vi.advanceTimersByTimeAsync(2 * HALF_A_MINUTE)
    expect([told, FakeWebSocket.made.length, server.waiting]).toEqual([['open'], 1, []])
  })
})
