import type { Progress } from "./Progress.ts"

/** Characters of a bar. */
const barWidth = 24

const format = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })

const shareOf = ({ done, total }: Progress): number => (total === 0 ? 1 : done / total)

/** Rounded down: 100 % is said at the end and never before. */
const percentOf = (progress: Progress): string => `${Math.floor(shareOf(progress) * 100)}%`

/** Two units at most: `45s`, `12m 5s`, `3h 20m`. */
const durationOf = (seconds: number): string => {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole}s`
  const minutes = Math.floor(whole / 60)
  return minutes < 60 ? `${minutes}m ${whole % 60}s` : `${Math.floor(minutes / 60)}h ${minutes % 60}m`
}

const timeOf = ({ remainingSeconds }: Progress): string =>
  remainingSeconds === undefined ? "" : `, ${durationOf(remainingSeconds)} left`

/** How far a run is, in words: `45%, 450,000 of 1,000,000, 120 differ, 12,000/s, 45s left`. */
export const line = (progress: Progress): string => {
  const { differing, done, perSecond, total } = progress
  const counts = `${format.format(done)} of ${format.format(total)}, ${format.format(differing)} differ`
  return `${percentOf(progress)}, ${counts}, ${format.format(perSecond)}/s${timeOf(progress)}`
}

/** The same with a bar, for a terminal. */
export const bar = (progress: Progress): string => {
  const full = Math.floor(shareOf(progress) * barWidth)
  return `[${"#".repeat(full)}${"-".repeat(barWidth - full)}] ${line(progress)}`
}
