import { describe, expect, test } from 'vitest'
import { LONGEST_WAIT, Network } from '../../src/transport/network.ts'

describe('[PG23] whether WebSockets get through', () => {
  test('one failure is enough where none ever did', () => {
    const network = new Network()
    expect(network.blocked).toBe(false)
    network.socketFailed()
    expect(network.blocked).toBe(true)
  })

  test('where one did, it takes two in a row', () => {
    const network = new Network()
    network.socketWorked()
    network.socketFailed()
    expect(network.blocked).toBe(false)
    network.socketFailed()
    expect(network.blocked).toBe(true)
    network.socketWorked()
    network.socketFailed()
    expect(network.blocked).toBe(false)
  })
})

describe('[PG27] how long polls may take', () => {
  test('shorter where something cuts them off', () => {
    const network = new Network()
    const waits = [1, 2, 3, 4, 5].map((round) => {
      network.pollBroke(round * 20_000)
      network.reached(round * 20_000 + 300)
      return network.wait
    })
    expect(waits).toEqual([10, 5, 2, 2, 2])
  })

  test('as long as before when the network or the server was away', () => {
    const network = new Network()
    network.pollBroke(1000)
    network.reached(9000)
    network.reached(9100)
    expect(network.wait).toBe(LONGEST_WAIT)
  })
})

test('[PG27] the server is left alone for as long as it asked', () => {
  const network = new Network()
  expect(network.resting(5)).toBe(0)
  network.rest(10_000, 1000)
  network.rest(0, 1000)
  expect(network.resting(4000)).toBe(7000)
  expect(network.resting(20_000)).toBe(0)
})
