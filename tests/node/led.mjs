// A program that a test leads: one JSON command a line on stdin, one JSON answer a line on stdout, in the order of the commands.
//
//   {"call": "open", "provider": "ana", …}  →  {"result": …} or {"error": "…"}
import { createInterface } from 'node:readline'
import process from 'node:process'

const PATIENCE_MS = 10_000

/** Run the commands, each by the call of its name, until stdin ends. `forget` ends all that the commands before it have begun. */
export async function lead(calls) {
  // What libraries complain of goes to stderr, where the test finds it: an unknown message, a broken update.
  for (const level of ['log', 'warn', 'error']) console[level] = (...words) => process.stderr.write(`${words.join(' ')}\n`)
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
}

/** Wait for a condition; when it does not come true, say what was there instead. */
export async function until(condition, actual) {
  const deadline = Date.now() + PATIENCE_MS
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms; now: ${JSON.stringify(actual())}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other)
}
