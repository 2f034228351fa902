/** Milliseconds of each unit, the largest first. */
const units = [
  ["w", 604_800_000],
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1_000]
] as const

/** Weeks are understood, but not written: days are easier to place. */
const written = units.filter(([unit]) => unit !== "w")

/** How long ago a time was, in its largest unit: `3m`. Clocks of other machines can be ahead: then `0s`. */
export const since = (at: number, now: number): string => {
  const millis = Math.max(0, now - at)
  const [unit, size] = written.find(([, size]) => millis >= size) ?? (["s", 1_000] as const)
  return `${Math.floor(millis / size)}${unit}`
}

const pattern = /^(\d{1,9})([smhdw])$/

/** Milliseconds of an age such as `90s`, `15m`, `2h`, `7d` or `4w`; undefined when the text is none. */
export const parse = (text: string): number | undefined => {
  const [, count, name] = pattern.exec(text) ?? []
  const size = units.find(([unit]) => unit === name)?.[1]
  return size === undefined ? undefined : Number(count) * size
}
