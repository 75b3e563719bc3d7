/** Figures and times in words. Pure. */

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB'] as const

export function bytes(amount: number | null): string {
  if (amount === null) return '–'
  let [size, unit] = [amount, 0]
  while (size >= 1000 && unit < UNITS.length - 1) {
    size /= 1000
    unit += 1
  }
  return `${unit === 0 || size >= 10 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit] ?? ''}`
}

export function milliseconds(time: number | null): string {
  if (time === null) return '–'
  if (time >= 1000) return `${(time / 1000).toFixed(1)} s`
  return `${time >= 10 ? Math.round(time) : time.toFixed(1)} ms`
}

/** How long something lasts or is ago: the largest unit that is full. */
export function duration(time: number): string {
  const seconds = Math.max(0, Math.round(time / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

export function ago(at: number, now: number): string {
  return now - at < 1000 ? 'just now' : `${duration(now - at)} ago`
}

export function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`
}
