import type { KafkaRecord } from "./KafkaRecord.ts"

/** Where a record goes. */
export interface Placed {
  readonly record: KafkaRecord
  readonly partition: number
  /** Names topic and partition. */
  readonly place: string
}

/** Gives records their partitions. */
export const place = (
  records: ReadonlyArray<KafkaRecord>,
  partitionsOf: (topic: string) => number
): ReadonlyArray<Placed> =>
  records.map((record) => {
    const partition = record.hash % partitionsOf(record.topic)
    return { record, partition, place: placeOf(record.topic, partition) }
  })

/** A colon is in no topic's name. */
export const placeOf = (topic: string, partition: number): string => `${topic}:${partition}`

export interface Limits {
  /** Of the records of one partition in one request: Kafka compares their batch with `max.message.bytes` of the topic. */
  readonly maxBatchBytes: number
  /** Of a whole request: Kafka's `socket.request.max.bytes` is 100 MiB, and all of it is held in memory. */
  readonly maxRequestBytes: number
}

/** Head of a batch. */
export const batchOverheadBytes = 61

/** Splits records into requests, in order: those of one partition are never overtaken. Usually there is one. */
export const rounds = (placed: ReadonlyArray<Placed>, limits: Limits): Array<ReadonlyArray<Placed>> => {
  const made: Array<ReadonlyArray<Placed>> = []
  let round: Array<Placed> = []
  let total = 0
  const byPlace = new Map<string, number>()
  for (const one of placed) {
    const { bytes } = one.record
    const before = byPlace.get(one.place) ?? batchOverheadBytes
    const fits = before + bytes <= limits.maxBatchBytes && total + bytes <= limits.maxRequestBytes
    if (!fits && round.length > 0) {
      made.push(round)
      round = []
      total = 0
      byPlace.clear()
    }
    round.push(one)
    total += bytes
    byPlace.set(one.place, (byPlace.get(one.place) ?? batchOverheadBytes) + bytes)
  }
  if (round.length > 0) made.push(round)
  return made
}

/** The halves of a round that is too much for Kafka. */
export const halves = (
  round: ReadonlyArray<Placed>
): readonly [ReadonlyArray<Placed>, ReadonlyArray<Placed>] => {
  const middle = Math.ceil(round.length / 2)
  return [round.slice(0, middle), round.slice(middle)]
}
