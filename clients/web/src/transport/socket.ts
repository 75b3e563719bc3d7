/** What y-websocket's provider uses of a WebSocket. */

export const CONNECTING = 0
export const OPEN = 1
export const CLOSING = 2
export const CLOSED = 3

export interface Socket {
  binaryType: BinaryType
  readonly readyState: number
  onopen: ((event: Event) => void) | null
  onmessage: ((event: MessageEvent) => void) | null
  onclose: ((event: CloseEvent) => void) | null
  onerror: ((event: Event) => void) | null
  send(data: Uint8Array<ArrayBuffer>): void
  close(code?: number): void
}

export function closeEvent(code: number, reason: string): CloseEvent {
  return Object.assign(new Event('close'), { code, reason, wasClean: false })
}
