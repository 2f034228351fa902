/**
 * The text that is hashed for a value: text as it is; a number in JavaScript's shortest decimal form (`-0` as `0`);
 * a bigint in decimal; `true` or `false`; a date as ISO 8601 in UTC with milliseconds (`2024-02-29T12:00:00.000Z`) or
 * `Invalid Date`. Other values have none. So `1` and `"1"` share a pseudonym.
 */
export const of = (value: unknown): string | undefined => {
  switch (typeof value) {
    case "string":
      return value
    case "number":
    case "bigint":
    case "boolean":
      return String(value)
    default:
      return value instanceof Date ? ofDate(value) : undefined
  }
}

const ofDate = (date: Date): string => (Number.isNaN(date.getTime()) ? "Invalid Date" : date.toISOString())

/** Whether two stored values are the same scalar. */
export const same = (left: unknown, right: unknown): boolean => {
  if (left === right) return true
  if (left instanceof Date && right instanceof Date) return Object.is(left.getTime(), right.getTime())
  return false
}
