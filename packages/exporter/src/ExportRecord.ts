/** One record of an export: names and values. */
export type ExportRecord = Readonly<Record<string, unknown>>

/** The first columns of records that have a version: with them a replay can keep the newest of each id. */
export const versionedColumns = ["_id", "version", "deleted"] as const

/** The value at a path such as `address.city`; undefined when there is none. */
export const valueAt = (record: ExportRecord, steps: ReadonlyArray<string>): unknown => {
  let value: unknown = record
  for (const step of steps) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as ExportRecord)[step]
  }
  return value
}
