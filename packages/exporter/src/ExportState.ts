/**
 * States of an export, as they stand under its key:
 * - `CREATED`: it is known, and nothing is written yet;
 * - `PENDING`: data is being written;
 * - `COMPLETED`: all data is there;
 * - `CANCELLED`: somebody stopped it; what was written stays;
 * - `FAILED`: something went wrong; what was written stays.
 */
export const states = ["CREATED", "PENDING", "COMPLETED", "CANCELLED", "FAILED"] as const

export type ExportState = (typeof states)[number]

/** A state that an export never leaves. */
export type EndState = Extract<ExportState, "COMPLETED" | "CANCELLED" | "FAILED">

/** Every arrow there is; the scripts are made from this table. */
export const arrows: Readonly<Record<ExportState, ReadonlyArray<ExportState>>> = {
  CREATED: ["PENDING", "CANCELLED", "FAILED"],
  PENDING: ["COMPLETED", "CANCELLED", "FAILED"],
  COMPLETED: [],
  CANCELLED: [],
  FAILED: []
}

export const canBecome = (from: ExportState, to: ExportState): boolean => arrows[from].includes(to)

export const isEnded = (state: ExportState): state is EndState => arrows[state].length === 0
