/** What other tabs may say: anything. */
import { describe, expect, test, vi } from 'vitest'
import { Doc, encodeStateAsUpdate } from 'yjs'
import type { Bytes } from '../src/core/bytes.ts'
import { encode } from '../src/core/messages.ts'
import { errorsIn, open, setTheStage, stage } from './stage.ts'

setTheStage()

describe('[CI7] tabs of one browser', () => {
  test('bear what cannot be read, and an observer that throws', async () => {
    vi.useRealTimers()
    const url = `http://server/${crypto.randomUUID()}`
    const { provider, told, text } = open({ broadcast: true, connect: false, url })
    stage.server.network = false
    provider.connect()
    provider.document.getText('text').observe(() => {
      throw new Error('of the page')
    })
    const other = new BroadcastChannel(`cowrite ${url}/api/v2/realtime/ plan`)
    // A broken update, step2, step1 and awareness, no frame, and no bytes.
    const rubbish: readonly unknown[] = [[0, 2, 3, 255, 255, 255], [0, 1, 1, 7], [0, 0, 1, 255], [1, 2, 9, 9], [0, 9]].map((frame) => Uint8Array.from(frame))
    for (const data of [...rubbish, 'text']) other.postMessage(data)
    const document = new Doc()
    document.getText('text').insert(0, 'x')
    other.postMessage(encode({ type: 'update', body: encodeStateAsUpdate(document) as Bytes }))
    await vi.waitFor(() => expect(text()).toBe('x'))
    expect(errorsIn(told).filter((word) => word !== 'error connection 1006')).toEqual(['error application 0'])
    provider.destroy()
    other.close()
    vi.useFakeTimers()
  })
})
