/** Addresses of a server, and which document is meant. */

/** Throws `TypeError` for what is no address. Of the API below `url`, the address at which cowrite is served; `ws` and `wss` mean the same as `http` and `https`. */
export function apiOf(url: string | URL): URL {
  const page = globalThis.location?.href
  if (!URL.canParse(url, page)) throw new TypeError(`no address: ${url}`)
  const base = new URL(url, page)
  base.protocol = base.protocol.replace('ws', 'http')
  base.search = base.hash = ''
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  return new URL('api/v2/realtime/', base)
}

/** Throws `TypeError` for what no document can be called. */
export function checkName(name: string): string {
  const length = [...name].length
  if (length === 0 || length > 255 || name.includes('\0') || /\p{Surrogate}/u.test(name)) {
    throw new TypeError('name: 1 to 255 characters, no NUL')
  }
  return name
}

/** A class of WebSockets, a browser's or that of `ws`. */
export interface SocketMaker {
  readonly OPEN: number
  new (url: URL, protocol: string): { readonly readyState: number; send(data: string | Uint8Array<ArrayBuffer>): void; close(): void }
}

/** The options of both clients that say where and with what. */
export interface ServerOptions {
  /** The address at which cowrite is served, such as `https://docs.example/`. */
  readonly url: string | URL
  /** The document's id: any text of 1 to 255 characters. */
  readonly name: string
  /** The session token that the host application gave its user, or a function that gets one; not needed in the demo. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** False: only `connect()` connects. */
  readonly connect?: boolean | undefined
  /** In the place of the global one, such as that of `ws` for Node before 22, which polls without it. */
  readonly WebSocketPolyfill?: SocketMaker | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
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
    WebSocket: (options.WebSocketPolyfill as typeof globalThis.WebSocket | undefined) ?? globalThis.WebSocket,
  }
}
