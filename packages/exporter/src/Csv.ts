/** Line end of RFC 4180. */
const lineEnd = "\r\n"

/**
 * What makes a spreadsheet take a text for a formula when it stands first, in full width too:
 * https://owasp.org/www-community/attacks/CSV_Injection
 */
const formulaStart = /^[=+\-@\t\r\n＝＋－＠]/

const needsQuotes = /[",\r\n]/

const textOf = (value: unknown): string => {
  if (typeof value === "string") return value
  const json = JSON.stringify(value)
  // Dates and ids have a text of their own.
  return json.startsWith('"') ? String(JSON.parse(json)) : json
}

/** A cell. Texts that look like formulas get an apostrophe; numbers are none, and stay as they are. */
const cell = (value: unknown): string => {
  if (value === undefined || value === null) return ""
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return String(value)
  const text = textOf(value)
  const guarded = formulaStart.test(text) ? `'${text}` : text
  return needsQuotes.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded
}

/** A line as RFC 4180 has it. Nested values are JSON text. */
export const line = (values: ReadonlyArray<unknown>): string => values.map(cell).join(",") + lineEnd
