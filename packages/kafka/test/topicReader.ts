import { Consumer } from "@platformatic/kafka"
import type { Message } from "@twinbox/outbox"
import type { SinkConformance } from "@twinbox/testkit"
import { Effect } from "effect"

/** A record as it stands in Kafka, read without the code under test. */
export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
}

const fetchedBytes = 10 * 1024 * 1024

const readAll = async (consumer: Consumer, topic: string): Promise<ReadonlyArray<ReadRecord>> => {
  const metadata = (await consumer.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic)
  const ends = (await consumer.listOffsets({ topics: [topic] })).get(topic) ?? []
  const positions = ends.map(() => 0n)
  const read: Array<ReadRecord> = []
  while (positions.some((position, at) => position < (ends[at] ?? 0n))) {
    const { responses } = await consumer.fetch({
      node: metadata?.partitions[0]?.leader ?? 0,
      minBytes: 1,
      maxWaitTime: 1_000,
      maxBytes: fetchedBytes,
      topics: [
        {
          topicId: metadata?.id ?? "",
          partitions: positions.map((fetchOffset, partition) => ({
            partition,
            fetchOffset,
            currentLeaderEpoch: -1,
            lastFetchedEpoch: -1,
            partitionMaxBytes: fetchedBytes
          }))
        }
      ]
    })
    for (const { partitions } of responses) {
      for (const { partitionIndex, records } of partitions) {
        for (const batch of records ?? []) {
          for (const record of batch.records) {
            const offset = batch.firstOffset + BigInt(record.offsetDelta)
            if (offset < (positions[partitionIndex] ?? 0n)) continue
            positions[partitionIndex] = offset + 1n
            read.push({
              partition: partitionIndex,
              offset: Number(offset),
              key: record.key?.toString() ?? "",
              value: record.value === null ? null : record.value.toString(),
              headers: Object.fromEntries(
                record.headers.map(([name, value]) => [name?.toString() ?? "", value?.toString() ?? ""])
              )
            })
          }
        }
      }
    }
  }
  return read
}

/** All records of a topic; those of one partition in order. */
export const readTopic = (brokers: string, topic: string): Effect.Effect<ReadonlyArray<ReadRecord>> =>
  Effect.acquireUseRelease(
    Effect.sync(
      () => new Consumer({ clientId: "reader", groupId: "reader", bootstrapBrokers: brokers.split(",") })
    ),
    (consumer) => Effect.promise(() => readAll(consumer, topic)),
    (consumer) => Effect.promise(() => consumer.close())
  )

/** The place of a record's message among those of its key. */
export const placeOf = ({ headers }: ReadRecord): Pick<Message.Message, "sequence" | "ordinal"> => {
  const [sequence, ordinal] = (headers["ce_sequence"] ?? "").split(".").map(Number)
  return { sequence: sequence ?? Number.NaN, ordinal: ordinal ?? Number.NaN }
}

/** What a consumer ends up with that heeds sequences, as every consumer has to. */
export const stateOf = (
  records: ReadonlyArray<ReadRecord>,
  key: string
): SinkConformance.State | undefined => {
  let latest: ReadRecord | undefined
  for (const record of records) {
    if (record.key !== key) continue
    if (latest === undefined || placeOf(record).sequence > placeOf(latest).sequence) latest = record
  }
  return latest === undefined || latest.value === null
    ? undefined
    : { sequence: placeOf(latest).sequence, payload: latest.value }
}
