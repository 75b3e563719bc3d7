/** Takes one thing after the other, also when taking one brings another. */
export function oneByOne<T>(take: (next: T) => void): (next: T) => void {
  const waiting: T[] = []
  let taking = false
  return (one) => {
    waiting.push(one)
    if (taking) return
    taking = true
    try {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) take(next)
    } finally {
      taking = false
    }
  }
}
