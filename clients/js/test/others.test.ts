/** Who else is there, at the server and in other tabs, and who may only read. */
import { describe, expect, test, vi } from 'vitest'
import { Awareness } from 'y-protocols/awareness'
import { Doc } from 'yjs'
import { open, pass, setTheStage, stage } from './stage.ts'

setTheStage()

/** The class of `ws` as its types have it, as far as they differ from a browser's. */
class OfWs {
  static readonly OPEN = 1
  readonly readyState: 0 | 1 | 2 | 3 = 0
  binaryType: 'nodebuffer' | 'arraybuffer' | 'fragments' = 'nodebuffer'
  onmessage: ((event: { data: string | Buffer | ArrayBuffer | Buffer[] }) => void) | null = null
  onclose: ((event: { code: number; wasClean: boolean; target: OfWs }) => void) | null = null
  readonly address: string | URL

  constructor(address: string | URL, _protocols?: string | string[], _options?: { readonly timeout?: number }) {
    this.address = address
  }

  send(_data: string | number | Uint8Array, _sent?: (error?: Error) => void): void {}
  close(_code?: number, _data?: string | Buffer): void {}
}

test('[CI10] a WebSocket of another make will do, by its type too, and options may be undefined', async () => {
  const { provider } = open({ WebSocketPolyfill: OfWs, token: undefined, awareness: undefined })
  await pass(2500) // nothing comes through it
  expect(provider.transport).toBe('polling')
})

describe('[CI1] who else is there', () => {
  test('is seen at once after a connection comes again, by both', async () => {
    const [ana, bo] = [open(), open()]
    ana.provider.awareness.setLocalStateField('user', 'Ana')
    bo.provider.awareness.setLocalStateField('user', 'Bo')
    await pass(100)
    const sees = (one: typeof ana, other: typeof ana): unknown => one.provider.awareness.getStates().get(other.provider.document.clientID)?.['user']
    expect([sees(ana, bo), sees(bo, ana)]).toEqual(['Bo', 'Ana'])
    ana.provider.disconnect()
    expect(sees(ana, bo)).toBeUndefined()
    await pass(100)
    ana.provider.connect()
    await pass(100)
    expect([sees(ana, bo), sees(bo, ana)]).toEqual(['Bo', 'Ana'])
  })

  test('hears a goodbye, and an awareness that is somebody else\'s stays as it is', async () => {
    const document = new Doc()
    const awareness = new Awareness(document)
    const [ana, bo] = [open({ document, awareness }), open()]
    awareness.setLocalStateField('user', 'Ana')
    await pass(100)
    expect(bo.provider.awareness.getStates().get(document.clientID)).toEqual({ user: 'Ana' })
    ana.provider.destroy()
    await pass(100)
    expect(bo.provider.awareness.getStates().has(document.clientID)).toBe(false)
    expect(awareness.getLocalState()).toEqual({ user: 'Ana' })
    awareness.destroy()
  })
})

describe('[CI5] who may only read', () => {
  test('is told that what is edited will not be saved', async () => {
    stage.server.grant = 'read'
    const { provider } = open()
    provider.document.getText('text').insert(0, 'early')
    const early = provider.whenSaved()
    await pass(100)
    await expect(early).rejects.toMatchObject({ name: 'Refused', code: 4403 })
    await expect(provider.whenSaved()).rejects.toMatchObject({ name: 'Refused', code: 4403 })
    expect([provider.readOnly, provider.unsyncedChanges, provider.status]).toEqual([true, 1, 'connected'])
  })

  test('has saved everything where nothing was edited', async () => {
    stage.server.grant = 'read'
    const { provider } = open()
    await pass(100)
    await expect(provider.whenSaved()).resolves.toBeUndefined()
  })
})

describe('[CI45] a document that is damaged', () => {
  test('is read; what was edited meanwhile is sent once it is mended', async () => {
    const { server } = stage
    server.damaged = true
    const { provider, told } = open()
    await pass(100)
    provider.document.getText('text').insert(0, 'kept')
    expect([provider.damaged, provider.readOnly, provider.unsyncedChanges]).toEqual([true, true, 1])
    server.damaged = false
    server.cut()
    await pass(5000)
    expect([provider.damaged, provider.readOnly, provider.unsyncedChanges]).toEqual([false, false, 0])
    expect(server.disk.getText('text').toString()).toBe('kept')
    expect(told).toContain('synced true')
  })
})

describe('[CI7] tabs of one browser', () => {
  test('meet without the server, and each sends what it got', async () => {
    vi.useRealTimers()
    const meet = { broadcast: true, connect: false, url: `http://server/${crypto.randomUUID()}` }
    const [ana, bo] = [open(meet), open(meet)]
    stage.server.network = false
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

  test("[CI5] a reader's edits are not told to a tab that writes, and what comes from there is not the reader's to save", async () => {
    vi.useRealTimers()
    const meet = { broadcast: true, url: `http://server/${crypto.randomUUID()}` }
    stage.server.grant = 'read'
    const reader = open(meet)
    await vi.waitFor(() => expect(reader.provider.readOnly).toBe(true))
    reader.provider.document.getText('text').insert(0, 'mine')
    stage.server.grant = 'write'
    const writer = open(meet)
    await writer.provider.whenSynced()
    writer.provider.document.getText('text').insert(0, 'for all')
    reader.provider.document.getText('text').insert(0, 'also ')
    await vi.waitFor(() => expect(reader.text()).toContain('for all'))
    await writer.provider.whenSaved()
    expect([writer.text(), stage.server.disk.getText('text').toString()]).toEqual(['for all', 'for all'])
    expect(reader.provider.unsyncedChanges).toBe(2)
    for (const { provider } of [reader, writer]) provider.destroy()
    vi.useFakeTimers()
  })
})
