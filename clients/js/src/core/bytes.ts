/** The variable-length integers of lib0, as far as messages need them. Pure; the server's side is `cowrite/protocol/lib0.py`. */

/** Bytes that own their buffer: what a WebSocket and `fetch` take. */
export type Bytes = Uint8Array<ArrayBuffer>

/** What came cannot be read. */
export class Malformed extends Error {
  /** `at`: the byte that shows it. */
  constructor(at: number) {
    super(`byte ${at}`)
  }
}

/** Reads a frame from its first byte on. Every method throws `Malformed`, and nothing else. */
export class Reader {
  at = 0
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get ended(): boolean {
    return this.at >= this.bytes.length
  }

  /** An integer from 0 to 2^53-1. */
  integer(): number {
    const start = this.at
    let [value, scale] = [0, 1]
    for (;;) {
      const byte = this.bytes[this.at]
      if (byte === undefined) throw new Malformed(start)
      this.at++
      value += (byte & 127) * scale
      if (value > Number.MAX_SAFE_INTEGER || scale > 2 ** 63) throw new Malformed(start)
      if (byte < 128) return value
      scale *= 128
    }
  }

  /** Bytes behind their length; a copy. */
  block(): Bytes {
    const start = this.at
    const length = this.integer()
    const end = this.at + length
    if (end > this.bytes.length) throw new Malformed(start)
    const block = this.bytes.slice(this.at, end) as Bytes
    this.at = end
    return block
  }

  /** UTF-8 behind its length. */
  text(): string {
    const start = this.at
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.block())
    } catch (error) {
      throw error instanceof Malformed ? error : new Malformed(start)
    }
  }
}

/** The bytes of an integer from 0 to 2^53-1. */
export function integer(value: number): number[] {
  const bytes = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return [...bytes, rest]
}

/** Parts one after the other. */
export function join(parts: readonly (Uint8Array | readonly number[])[]): Bytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}
