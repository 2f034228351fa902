import * as Age from "./Age.ts"

const pattern = /^(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/

/** Whether a calendar has this day: `Date.parse` takes 30 February for 2 March. */
const isDay = (day: string): boolean => {
  const at = Date.parse(day)
  return !Number.isNaN(at) && new Date(at).toISOString().startsWith(day)
}

const parseDate = (text: string): number | undefined => {
  const [, day, time, zone] = pattern.exec(text) ?? []
  if (day === undefined || !isDay(day)) return undefined
  // What counts must not depend on where the command runs: without a zone it is UTC.
  const at = Date.parse(time !== undefined && zone === undefined ? `${text}Z` : text)
  return Number.isNaN(at) ? undefined : at
}

/**
 * Milliseconds since the epoch of an ISO 8601 date (`2026-11-21`, `2026-11-21T10:00`, `2026-11-21T10:00:00+01:00`;
 * UTC when it has no zone) or of an age before `now` (`2h`); undefined when the text is neither.
 */
export const parse = (text: string, now: number): number | undefined => {
  const age = Age.parse(text)
  return age === undefined ? parseDate(text) : now - age
}
