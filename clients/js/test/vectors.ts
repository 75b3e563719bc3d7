/** The golden vectors that pytest reads, too. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Vector {
  readonly id: string
  readonly rule: string
  readonly hex: string
  readonly error?: string
  readonly at?: number
  readonly canonical?: boolean
  readonly [field: string]: unknown
}

export function vectors(name: string): readonly Vector[] {
  const path = fileURLToPath(new URL(`../../../spec/vectors/${name}.json`, import.meta.url))
  return (JSON.parse(readFileSync(path, 'utf8')) as { vectors: Vector[] }).vectors
}

export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../gu) ?? [], (byte) => Number.parseInt(byte, 16))
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
