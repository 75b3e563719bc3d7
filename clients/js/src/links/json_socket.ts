/** The socket for JSON operations, `/api/v2/realtime/ws`. */
import { textOf } from '../core/codes.ts'
import type { ServerMessage } from '../core/log.ts'
import type { LinkMaker } from './link.ts'
import { openSocket, socketUrl } from './websocket.ts'

export const jsonSocket: LinkMaker<ServerMessage> = ({ api, WebSocket }, listener) => {
  const url = socketUrl(new URL('ws', api))
  return openSocket({ WebSocket, url, protocol: 'cowrite.v2.json', write: JSON.stringify, read: messageIn, isAnswer }, listener)
}

function isAnswer({ type }: ServerMessage): boolean {
  return type !== 'operations' && type !== 'presence'
}

export function messageIn(data: unknown): ServerMessage | null {
  try {
    const message: unknown = typeof data === 'string' ? JSON.parse(data) : null
    return textOf(message, 'type') === undefined ? null : (message as ServerMessage)
  } catch {
    return null
  }
}
