/** Promises of things that come true later, or never. */

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Moment {
  #waiting: Waiting[] = []

  /** Fulfilled by `come()`, at once where `here`; rejected at once where it is `refused`. One that nobody looks at does no harm. */
  wait(here: boolean, refused: Error | null): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      if (here) resolve()
      else if (refused) reject(refused)
      else this.#waiting.push({ resolve, reject })
    })
    promise.catch(() => {})
    return promise
  }

  come(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}

/** It will not come true: the server said not to come back, or the client was destroyed. */
export class Refused extends Error {
  override readonly name: string = 'Refused'
  /** A close code; 1000 when the client was destroyed. */
  readonly code: number

  constructor(code: number, reason: string) {
    super(reason)
    this.code = code
  }
}
