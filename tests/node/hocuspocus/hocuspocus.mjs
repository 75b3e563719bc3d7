// Stock Hocuspocus providers, led by a test:
//
//   {"call": "open", "provider": "ana", "version": 4, "url": "ws://…/hocuspocus", "name": "plan", "token": "…"}
//
// Several on one socket: the first call is "socket", and the others name it.
import { HocuspocusProvider as Provider2, HocuspocusProviderWebsocket as Socket2 } from 'hocuspocus-2'
import { HocuspocusProvider as Provider3, HocuspocusProviderWebsocket as Socket3 } from 'hocuspocus-3'
import { HocuspocusProvider as Provider4, HocuspocusProviderWebsocket as Socket4 } from 'hocuspocus-4'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { lead, same, until } from './led.mjs'

const PROVIDERS = { 2: Provider2, 3: Provider3, 4: Provider4 }
const SOCKETS = { 2: Socket2, 3: Socket3, 4: Socket4 }
const ROOT = 'text'

/** Everything that a test knows by a name: sockets, and providers with their documents and what they told. */
const sockets = new Map()
const opened = new Map()

function connect({ version, url, parameters = {} }) {
  const closed = []
  const query = new URLSearchParams(parameters).toString()
  // The parameters are an option of version 2, and part of the address for the others.
  const address = version === 2 ? { url, parameters } : { url: query ? `${url}?${query}` : url }
  const socket = new SOCKETS[version]({ ...address, WebSocketPolyfill: WebSocket, delay: 100, minDelay: 100, maxDelay: 500 })
  socket.on('close', ({ event }) => closed.push(event.code))
  return { socket, closed, version }
}

/** A provider at a socket; what it tells goes to ``told``, in order. */
function attach(at, { name, token = null, tokens = null, user = null, options = {} }, doc = new Y.Doc()) {
  const told = []
  const counts = []
  let asked = 0
  const provider = new PROVIDERS[at.version]({
    websocketProvider: at.socket,
    name,
    document: doc,
    token: tokens ? () => tokens[Math.min(asked++, tokens.length - 1)] : token,
    broadcast: false, // version 2: else the providers of this process would meet without the server
    ...options,
  })
  for (const event of ['authenticated', 'authenticationFailed', 'close', 'stateless']) {
    provider.on(event, (what) => told.push([event, event === 'close' ? what.event : (what ?? null)]))
  }
  // Version 2 tells the number, the others an object.
  provider.on('unsyncedChanges', (what) => counts.push(typeof what === 'number' ? what : what.number))
  // What the server has not answered, in order; and how often 0 was told while an edit was among it.
  const unanswered = []
  let early = 0
  doc.on('update', (_, origin) => void (origin === provider || unanswered.push('edit')))
  provider.on('message', ({ event }) => {
    const [type, step] = kindOf(event.data)
    if (type === 8) unanswered.shift()
    if (type === 0 && step === 0) unanswered.push('everything')
  })
  provider.on('unsyncedChanges', () => void (early += provider.unsyncedChanges <= 0 && unanswered.includes('edit')))
  if (user) provider.awareness.setLocalStateField('user', user)
  if (at.version > 2) provider.attach()
  return { at, provider, doc, told, counts, early: () => early, asked: () => asked, gone: false }
}

function destroy(one) {
  if (!one.gone) one.provider.destroy()
  one.gone = true
}

const calls = {
  forget() {
    for (const one of opened.values()) destroy(one)
    for (const { socket } of new Set([...sockets.values(), ...[...opened.values()].map(({ at }) => at)])) socket.destroy()
    for (const { doc } of opened.values()) doc.destroy()
    sockets.clear()
    opened.clear()
  },
  socket: ({ provider, ...options }) => void sockets.set(provider, connect(options)),
  open: ({ provider, socket = null, ...options }) =>
    void opened.set(provider, attach(socket ? sockets.get(socket) : connect(options), options)),
  /** As React's strict mode does it: away, and the same again, before anything could be answered. */
  flip({ provider, ...options }) {
    const { at, doc, provider: first } = of(provider)
    first.destroy()
    opened.set(provider, attach(at, options, doc))
  },
  /** The same, and the first one too is new. */
  open_and_flip({ provider, socket, ...options }) {
    calls.open({ provider, socket, ...options })
    calls.flip({ provider, ...options })
  },

  insert: ({ provider, index, text }) => of(provider).doc.getText(ROOT).insert(index, text),
  delete: ({ provider, index, length }) => of(provider).doc.getText(ROOT).delete(index, length),
  text: ({ provider }) => of(provider).doc.getText(ROOT).toString(),
  present: ({ provider, user }) => of(provider).provider.awareness.setLocalStateField('user', user),
  destroy: ({ provider }) => destroy(of(provider)),
  detach: ({ provider }) => of(provider).provider.detach(),
  attach: ({ provider }) => of(provider).provider.attach(),
  force_sync: ({ provider }) => of(provider).provider.forceSync(),
  send_token: ({ provider }) => of(provider).provider.sendToken(),
  send_stateless: ({ provider, payload }) => of(provider).provider.sendStateless(payload),
  disconnect: ({ provider }) => of(provider).at.socket.disconnect(),
  connect: ({ provider }) => void of(provider).at.socket.connect(),
  /** The socket is cut, as by a broken network: no close frame, no goodbye; the provider is not told. */
  cut: ({ provider }) => of(provider).at.socket.webSocket.terminate(),

  /** Edits, and synchronisations in between, before anything can be answered. */
  edit_and_force_sync({ provider, times }) {
    for (let n = 0; n < times; n++) {
      calls.insert({ provider, index: 0, text: 'a' })
      calls.force_sync({ provider })
      calls.insert({ provider, index: 0, text: 'b' })
    }
  },
  unsynced: ({ provider }) => of(provider).provider.unsyncedChanges,
  /** The lowest number of unsynced changes that was ever told. */
  lowest: ({ provider }) => Math.min(...of(provider).counts),
  early: ({ provider }) => of(provider).early(),
  scope: ({ provider }) => of(provider).provider.authorizedScope ?? null,
  told: ({ provider, event }) => toldOf(provider, event),
  asked: ({ provider }) => of(provider).asked(),
  /** The codes with which its socket was closed. */
  codes: ({ provider }) => of(provider).at.closed,

  synced: ({ provider }) => until(() => of(provider).provider.synced, () => 'not synced'),
  /** Exactly 0: below it, version 2 says that everything is saved whatever waits. */
  saved: ({ provider }) => until(() => calls.unsynced({ provider }) === 0, () => calls.unsynced({ provider })),
  offline: ({ provider }) => until(() => of(provider).at.socket.status !== 'connected', () => of(provider).at.socket.status),
  sees_text: ({ provider, text }) => until(() => calls.text({ provider }) === text, () => calls.text({ provider })),
  sees_users: ({ provider, users }) => until(() => same(usersSeenBy(provider), users), () => usersSeenBy(provider)),
  hears: ({ provider, event, last }) =>
    until(() => same(toldOf(provider, event).at(-1) ?? null, last), () => of(provider).told),
  is_asked: ({ provider, times }) => until(() => of(provider).asked() === times, () => of(provider).asked()),
  is_closed: ({ provider, code }) => until(() => of(provider).at.closed.includes(code), () => of(provider).at.closed),
  /** Both show the same, and of this length in UTF-16 code units. */
  agrees: ({ provider, other, length }) =>
    until(
      () => calls.text({ provider }).length === length && calls.text({ provider }) === calls.text({ provider: other }),
      () => [calls.text({ provider }), calls.text({ provider: other })],
    ),
}

/** The type of a message, and what follows it: both stand behind the address. */
function kindOf(data) {
  const message = new Uint8Array(data)
  const start = message[0] & 0x80 ? 2 + (message[0] & 0x7f) + 0x80 * message[1] : 1 + message[0]
  return message.subarray(start, start + 2)
}

function of(name) {
  const one = opened.get(name)
  if (!one) throw new Error(`no provider is called ${name}`)
  return one
}

function toldOf(name, event) {
  return of(name).told.filter(([each]) => each === event).map(([, what]) => what)
}

function usersSeenBy(name) {
  const { provider, doc } = of(name)
  const others = [...provider.awareness.getStates()].filter(([client]) => client !== doc.clientID)
  return others.map(([, state]) => state.user).sort()
}

await lead(calls)
