// Clients led by a test: one JSON command a line on stdin, one JSON answer a line on stdout. Each client is known by a name.
//
//   {"call": "open", "client": "ana", "kind": "cowrite", "url": "http://…/", "room": "plan"}
//   → {"result": …} or {"error": "…"}, in the order of the commands
import { createInterface } from 'node:readline'
import process from 'node:process'
import { CowriteProvider, OperationsClient } from '@cowrite/client'
import WebSocket from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'

const PATIENCE_MS = 20_000
const ROOT = 'text'
const EVENTS = ['status', 'transport', 'synced', 'unsyncedChanges', 'authenticationFailed', 'error', 'reset', 'operations', 'presence']

const clients = new Map()
const unhandled = []
process.on('unhandledRejection', (error) => unhandled.push(String(error)))
process.on('uncaughtException', (error) => unhandled.push(String(error)))

const kinds = {
  cowrite({ url, room, options, token }) {
    const document = new Y.Doc()
    const provider = new CowriteProvider({
      url,
      name: room,
      document,
      token,
      broadcast: false,
      WebSocketPolyfill: WebSocket,
      ...options,
    })
    return { provider, doc: document, text: () => document.getText(ROOT).toString() }
  },
  stock({ url, room, token }) {
    const doc = new Y.Doc()
    const params = token ? { token: token() } : {}
    const provider = new WebsocketProvider(`${url.replace('http', 'ws')}yjs`, room, doc, { WebSocketPolyfill: WebSocket, disableBc: true, params })
    return { provider, doc, text: () => doc.getText(ROOT).toString() }
  },
  operations({ url, room, options, token }) {
    const provider = new OperationsClient({ url, name: room, token, WebSocketPolyfill: WebSocket, ...options })
    const log = []
    let text = ''
    provider.on('reset', ({ state }) => {
      text = (state[ROOT]?.$text ?? []).map((item) => (typeof item === 'string' ? item : (item.insert ?? item.text ?? ''))).join('')
    })
    provider.on('operations', ({ operations }) => {
      for (const operation of operations) {
        log.push(operation.id)
        const at = operation.position[1]
        if (operation.type === 'insert') text = text.slice(0, at) + operation.content + text.slice(at)
        if (operation.type === 'delete') text = text.slice(0, at) + text.slice(at + operation.length)
      }
    })
    return { provider, log, text: () => text }
  },
}

const calls = {
  /** Ends all clients. */
  async forget() {
    for (const { provider, doc } of clients.values()) {
      provider.destroy()
      doc?.destroy()
    }
    clients.clear()
    await new Promise((resolve) => setImmediate(resolve)) // for what they throw at their end
  },
  open({ client: name, kind, tokens = null, throws = 0, ...rest }) {
    const asked = { count: 0 }
    const token = tokens === null ? undefined : () => {
      if (asked.count++ < throws) throw new Error('the token service is down')
      return tokens[Math.min(asked.count - 1 - throws, tokens.length - 1)]
    }
    const client = { events: [], asked, opened: performance.now(), ...kinds[kind]({ ...rest, token }) }
    for (const event of kind === 'stock' ? [] : EVENTS) {
      client.provider.on(event, (told) => client.events.push({ event, at: performance.now() - client.opened, ...told }))
    }
    clients.set(name, client)
  },
  insert: ({ client, index, text }) => of(client).doc.getText(ROOT).insert(index, text),
  delete: ({ client, index, length }) => of(client).doc.getText(ROOT).delete(index, length),
  text: ({ client }) => of(client).text(),
  /** Sends one insertion as an operation, and says how it is called once it is committed. */
  submit: async ({ client, index, text }) => {
    const { operations } = await of(client).provider.submit([{ type: 'insert', position: [ROOT, index], content: text }])
    return operations.map(({ id }) => id)
  },
  /** The same without waiting. */
  submit_later({ client, index, text }) {
    void of(client).provider.submit([{ type: 'insert', position: [ROOT, index], content: text }])
  },
  tell: ({ client, about }) => of(client).provider.tell(about),
  /** Waits until it has been told of somebody's cursor. */
  sees_cursor: ({ client, cursor }) => until(() => cursorsSeenBy(client).includes(cursor), () => cursorsSeenBy(client)),
  log: ({ client }) => of(client).log,
  status: ({ client }) => of(client).provider.status,
  transport: ({ client }) => of(client).provider.transport,
  unsaved: ({ client }) => of(client).provider.unsyncedChanges,
  read_only: ({ client }) => of(client).provider.readOnly,
  events: ({ client, event }) => of(client).events.filter((one) => one.event === event),
  asked: ({ client }) => of(client).asked.count,
  connect: ({ client }) => of(client).provider.connect(),
  disconnect: ({ client }) => of(client).provider.disconnect(),
  destroy: ({ client }) => of(client).provider.destroy(),
  present: ({ client, user }) => of(client).provider.awareness.setLocalStateField('user', user),
  /** From now on its awareness is told when it changes, and not again and again. */
  quiet: ({ client }) => clearInterval(of(client).provider.awareness._checkInterval),
  unhandled: () => unhandled,

  synced: ({ client }) => of(client).provider.whenSynced?.() ?? until(() => of(client).provider.synced, () => 'not synced'),
  saved: ({ client }) => of(client).provider.whenSaved(),
  sees_text: ({ client, text }) => until(() => of(client).text() === text, () => of(client).text()),
  /** Waits until it sees a selection of somebody in its text; where, in UTF-16 units. */
  sees_selection: ({ client, from, to }) =>
    until(() => same(selectionsSeenBy(client), [[from, to]]), () => selectionsSeenBy(client)),
  sees_users: ({ client, users }) => until(() => same(usersSeenBy(client), users), () => usersSeenBy(client)),
  goes_by: ({ client, transport }) => until(() => of(client).provider.transport === transport, () => of(client).provider.transport),
  becomes: ({ client, status }) => until(() => of(client).provider.status === status, () => of(client).provider.status),
  /** Waits for so many events of a name, and gives them. */
  tells: async ({ client, event, count = 1 }) => {
    await until(() => calls.events({ client, event }).length >= count, () => of(client).events)
    return calls.events({ client, event })
  },
  agree: ({ names, length }) =>
    until(
      () => names.every((name) => of(name).text().length === length && of(name).text() === of(names[0]).text()),
      () => names.map((name) => of(name).text()),
    ),
  /** Milliseconds from each of `count` edits here until they are seen there. */
  latencies: async ({ client, other, count }) => {
    const took = []
    for (let number = 0; number < count; number++) {
      const [length, began] = [of(other).text().length + 1, performance.now()]
      calls.insert({ client, index: 0, text: 'x' })
      await until(() => of(other).text().length >= length, () => of(other).text(), 1)
      took.push(performance.now() - began)
      await new Promise((resolve) => setTimeout(resolve, 100 * Math.random()))
    }
    return took
  },
}

/** The cursors of all that it was ever told of. */
function cursorsSeenBy(name) {
  const told = calls.events({ client: name, event: 'presence' })
  const persons = told.flatMap(({ present = [], joined = [], updated = [] }) => [...present, ...joined, ...updated])
  return persons.flatMap(({ sessions }) => sessions.map(({ cursor }) => cursor))
}

function of(name) {
  const one = clients.get(name)
  if (!one) throw new Error(`no client is called ${name}`)
  return one
}

function usersSeenBy(name) {
  const { provider, doc } = of(name)
  const others = [...provider.awareness.getStates()].filter(([client]) => client !== doc.clientID)
  return others.map(([, state]) => state.user).sort()
}

/** As bindings of editors read it, to draw carets. */
function selectionsSeenBy(name) {
  const { provider, doc } = of(name)
  const others = [...provider.awareness.getStates()].filter(([client, { cursor }]) => client !== doc.clientID && cursor)
  const index = (position) => Y.createAbsolutePositionFromRelativePosition(Y.createRelativePositionFromJSON(position), doc)?.index
  return others.map(([, { cursor }]) => [index(cursor.anchor), index(cursor.head)])
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other)
}

async function until(condition, actual, every = 5) {
  const deadline = Date.now() + PATIENCE_MS
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms; now: ${JSON.stringify(actual())}`)
    await new Promise((resolve) => setTimeout(resolve, every))
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...options } = JSON.parse(line)
  let answer
  try {
    answer = { result: (await calls[call](options)) ?? null }
  } catch (error) {
    answer = { error: String(error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
