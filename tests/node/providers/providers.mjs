// Stock y-websocket providers, led by a test:
//
//   {"call": "open", "provider": "ana", "version": 3, "url": "ws://…/yjs", "room": "plan"}
import WebSocket from 'ws'
import { WebsocketProvider as Provider2 } from 'y-websocket-2'
import { WebsocketProvider as Provider3 } from 'y-websocket-3'
import * as Y from 'yjs'
import { lead, same, until } from './led.mjs'

const PROVIDERS = { 2: Provider2, 3: Provider3 }
const ROOT = 'text'
const ACKNOWLEDGED = 100
const DENIED = 2

/** Everything that a test knows by a name: the provider, its document, and the messages that came on all its sockets. */
const opened = new Map()

/** A socket that notes what comes; nothing else is changed. */
function notingSocket(messages, protocols) {
  return class extends WebSocket {
    constructor(url, offered) {
      super(url, offered)
      this.on('open', () => protocols.push(this.protocol))
      this.on('message', (data) => messages.push(Buffer.from(data)))
    }
  }
}

const calls = {
  forget() {
    for (const { provider, doc } of opened.values()) {
      provider.destroy()
      doc.destroy()
    }
    opened.clear()
  },
  open({ provider: name, version, url, room, protocols = [], user = null, params = {} }) {
    const doc = new Y.Doc()
    const messages = []
    const selected = []
    const closed = []
    const provider = new PROVIDERS[version](url, room, doc, {
      protocols,
      params,
      disableBc: true, // else the providers of this process would meet without the server
      WebSocketPolyfill: notingSocket(messages, selected),
    })
    if (user) provider.awareness.setLocalStateField('user', user)
    provider.on('closed', ({ code }) => closed.push(code))
    opened.set(name, { provider, doc, messages, selected, closed })
  },

  insert: ({ provider, index, text }) => of(provider).doc.getText(ROOT).insert(index, text),
  text: ({ provider }) => of(provider).doc.getText(ROOT).toString(),
  present: ({ provider, user }) => of(provider).provider.awareness.setLocalStateField('user', user),
  disconnect: ({ provider }) => of(provider).provider.disconnect(),
  connect: ({ provider }) => of(provider).provider.connect(),
  renew: ({ provider, params }) => {
    of(provider).provider.params = params
    of(provider).provider.connect()
  },
  destroy: ({ provider }) => of(provider).provider.destroy(),
  /** The socket is cut, as by a broken network: no close frame, no goodbye; the provider is not told. */
  cut: ({ provider }) => of(provider).provider.ws.terminate(),

  /** The first byte of each message that came: its type. */
  types: ({ provider }) => of(provider).messages.map((message) => message[0]),
  /** The server has said that something is not allowed. */
  is_denied: ({ provider }) => until(() => calls.types({ provider }).includes(DENIED), () => calls.types({ provider })),
  /** The codes with which the server said not to come back; waits for the first one. */
  closed: ({ provider }) => until(() => of(provider).closed.length > 0, () => 'still open').then(() => of(provider).closed),
  /** The counts of all acknowledgements that came; each is below 128, so one byte. */
  counts: ({ provider }) =>
    of(provider)
      .messages.filter((message) => message[0] === ACKNOWLEDGED)
      .map((message) => message[1]),
  /** The sub-protocol of each socket that opened. */
  protocols: ({ provider }) => of(provider).selected,

  synced: ({ provider }) => until(() => of(provider).provider.synced, () => 'not synced'),
  offline: ({ provider }) => until(() => !of(provider).provider.wsconnected, () => 'still connected'),
  sees_text: ({ provider, text }) => until(() => calls.text({ provider }) === text, () => calls.text({ provider })),
  is_told: ({ provider, count }) =>
    until(() => calls.counts({ provider }).at(-1) === count, () => calls.counts({ provider })),
  /** Both show the same, and of this length in UTF-16 code units. */
  agrees: ({ provider, other, length }) =>
    until(
      () => calls.text({ provider }).length === length && calls.text({ provider }) === calls.text({ provider: other }),
      () => [calls.text({ provider }), calls.text({ provider: other })],
    ),
  sees_users: ({ provider, users }) => until(() => same(usersSeenBy(provider), users), () => usersSeenBy(provider)),
}

function of(name) {
  const one = opened.get(name)
  if (!one) throw new Error(`no provider is called ${name}`)
  return one
}

function usersSeenBy(name) {
  const { provider, doc } = of(name)
  const others = [...provider.awareness.getStates()].filter(([client]) => client !== doc.clientID)
  return others.map(([, state]) => state.user).sort()
}

await lead(calls)
