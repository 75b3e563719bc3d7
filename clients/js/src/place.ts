/** Addresses of a server, and which document is meant. */

/** Of the API below `url`, the address at which cowrite is served; `ws` and `wss` mean the same as `http` and `https`. */
export function apiOf(url: string | URL): URL {
  const base = new URL(url, globalThis.location?.href)
  base.protocol = base.protocol.replace('ws', 'http')
  base.search = base.hash = ''
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  return new URL('api/v2/realtime/', base)
}

/** Throws `TypeError` for what no document can be called. */
export function checkName(name: string): string {
  const length = [...name].length
  if (length === 0 || length > 255 || name.includes('\0') || /\p{Surrogate}/u.test(name)) {
    throw new TypeError('a name has 1 to 255 characters of Unicode, without U+0000')
  }
  return name
}

/** The options of both clients that say where and with what. */
export interface ServerOptions {
  /** The address at which cowrite is served, such as `https://docs.example/`. */
  readonly url: string | URL
  /** The document's id: any text of 1 to 255 characters. */
  readonly name: string
  /** The session token that the host application gave its user, or a function that gets one; not needed in the demo. */
  readonly token?: string | (() => string | Promise<string>)
  /** False: only `connect()` connects. */
  readonly connect?: boolean
  /** In the place of the global one, for Node before 22. */
  readonly WebSocketPolyfill?: typeof globalThis.WebSocket
  readonly fetch?: typeof globalThis.fetch
}

export function serverOf(options: ServerOptions): {
  readonly api: URL
  readonly document: string
  readonly token: ServerOptions['token']
  readonly fetch: typeof globalThis.fetch
  readonly WebSocket: typeof globalThis.WebSocket
} {
  return {
    api: apiOf(options.url),
    document: checkName(options.name),
    token: options.token,
    fetch: options.fetch ?? globalThis.fetch.bind(globalThis),
    WebSocket: options.WebSocketPolyfill ?? globalThis.WebSocket,
  }
}
