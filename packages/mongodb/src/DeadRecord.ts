import { type OutboxAdmin, OutboxStore } from "@twinbox/outbox"
import * as OutboxRecord from "./OutboxRecord.ts"

/** A message given up on, as the collection `outbox_dead` holds it. */
export interface DeadRecord {
  readonly _id: string
  readonly messageId: string
  readonly slot: number
  readonly sink: string
  readonly key: string | null
  readonly topic: string | null
  readonly sequence: number | null
  readonly reason: string
  readonly error: string
  readonly attempts: number
  readonly blocks: boolean
  readonly history: ReadonlyArray<OutboxRecord.HistoryRecord>
  readonly at: Date
  /** A copy of the record, whatever it was. */
  readonly record: Readonly<Record<string, unknown>>
}

/** A dead letter with the copy left out. */
export type ListedDeadRecord = Omit<DeadRecord, "record">

/** Makes the record of a dead letter. One for each message and sink, however often it is written. */
export const fromLetter = (
  letter: OutboxStore.DeadLetter,
  record: Partial<OutboxRecord.OutboxRecord>
): DeadRecord => ({
  _id: `${letter.messageId}:${letter.sink}`,
  messageId: letter.messageId,
  slot: letter.slot,
  sink: letter.sink,
  key: typeof record.key === "string" ? record.key : null,
  topic: typeof record.topic === "string" ? record.topic : null,
  sequence: typeof record.sequence === "number" ? record.sequence : null,
  reason: letter.reason,
  error: letter.error,
  attempts: letter.attempts,
  blocks: letter.blocks,
  history: OutboxRecord.fromHistory(letter.history.slice(-OutboxStore.maxHistory)),
  at: new Date(letter.at),
  record: { ...record }
})

export const toListed = (record: ListedDeadRecord): OutboxAdmin.ListedDeadLetter => ({
  messageId: record.messageId,
  slot: record.slot,
  sink: record.sink,
  reason: record.reason,
  error: record.error,
  attempts: record.attempts,
  blocks: record.blocks,
  history: OutboxRecord.toHistory(record.history),
  at: record.at.getTime(),
  key: record.key ?? undefined,
  topic: record.topic ?? undefined,
  sequence: record.sequence ?? undefined
})
