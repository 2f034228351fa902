import { type fetchV17, protocolErrors } from "@platformatic/kafka"
import { Effect } from "effect"
import type { Clients } from "./KafkaConsumerClients.ts"
import type { Partition } from "./KafkaConsumerPartition.ts"
import type { RawRecord } from "./KafkaConsumerRecord.ts"
import { errorsIn, type KafkaError } from "./KafkaError.ts"

/** The bit of a batch's attributes that says that it holds no records: https://kafka.apache.org/documentation/#recordbatch */
const controlBit = 0x20

/** How long a broker waits for records before it answers that there are none. */
const waitMillis = 500

/** The same while some partition is paused: it is not asked for, and would wait as long when there is room again. */
const shortWaitMillis = 20

/** How long a partition rests whose records the broker refused to give. */
const restMillis = 1_000

export interface Settings {
  readonly topics: ReadonlyArray<string>
  readonly maxBytesPerPartition: number
  readonly maxBytesPerFetch: number
}

/** Partitions by their names. */
export type Assigned = ReadonlyMap<string, Partition>

/** Found out in a pass over the partitions. */
export interface Pass {
  /** Whose next record the broker has no longer. */
  readonly outOfRange: ReadonlyArray<Partition>
}

type FetchResponse = fetchV17.FetchResponse
type FetchedPartition = fetchV17.FetchResponsePartition

const outOfRangeCode = protocolErrors["OFFSET_OUT_OF_RANGE"]?.code

// What is kept of a record must not keep the whole answer in memory.
const copyOf = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes))

/** The records of an answer, and the offset after them. */
const recordsIn = (
  { partition, topic }: Partition,
  { records: batches }: FetchedPartition
): { readonly records: ReadonlyArray<RawRecord>; readonly next: bigint } => {
  const records: Array<RawRecord> = []
  let next = 0n
  for (const batch of batches ?? []) {
    next = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
    if ((batch.attributes & controlBit) !== 0) continue
    for (const record of batch.records) {
      records.push({
        topic,
        partition,
        offset: batch.firstOffset + BigInt(record.offsetDelta),
        timestamp: Number(batch.firstTimestamp + record.timestampDelta),
        key: copyOf(record.key),
        value: copyOf(record.value),
        headers: record.headers.map(([name, value]) => [name?.toString("utf8") ?? "", copyOf(value)])
      })
    }
  }
  return { records, next }
}

const isResponse = (value: unknown): value is FetchResponse =>
  typeof value === "object" && value !== null && "responses" in value && Array.isArray(value.responses)

/** Sessions of fetches: KIP-227. */
const isOfFetchSession = ({ apiId }: { readonly apiId?: unknown }): boolean =>
  typeof apiId === "string" && apiId.includes("FETCH_SESSION")

/** An answer in which some partitions have errors is an error of the client, with the answer in it. */
const responseIn = (error: unknown): FetchResponse | undefined =>
  errorsIn(error)
    .map((one) => ("response" in one ? one.response : undefined))
    .find(isResponse)

const group = <K, A>(values: ReadonlyArray<A>, keyOf: (value: A) => K): ReadonlyMap<K, ReadonlyArray<A>> => {
  const groups = new Map<K, Array<A>>()
  for (const value of values) {
    const key = keyOf(value)
    const others = groups.get(key)
    if (others === undefined) groups.set(key, [value])
    else others.push(value)
  }
  return groups
}

/**
 * Fetches once from each broker that leads some of the partitions, and gives them what came. A partition that holds
 * enough, or rests, is left out.
 */
export const pass = (
  { call, reader }: Pick<Clients, "call" | "reader">,
  assigned: Assigned,
  settings: Settings
): Effect.Effect<Pass, KafkaError> =>
  Effect.gen(function* () {
    const now = performance.now()
    const wanted = [...assigned.values()].filter(
      (partition) => !partition.isPaused && partition.restsUntil <= now
    )
    if (wanted.length === 0) {
      yield* Effect.sleep(shortWaitMillis)
      return { outOfRange: [] }
    }
    const metadata = yield* call(() => reader.metadata({ topics: [...settings.topics] }))
    const topicIds = new Map([...metadata.topics].map(([name, { id }]) => [id, name]))
    const leaderOf = ({ partition, topic }: Partition) =>
      metadata.topics.get(topic)?.partitions[partition]?.leader ?? -1
    const outOfRange: Array<Partition> = []

    const take = (answer: FetchResponse, asked: ReadonlyMap<string, Partition>) => {
      for (const { partitions, topicId } of answer.responses) {
        for (const fetched of partitions) {
          const partition = asked.get(`${topicIds.get(topicId) ?? ""}:${fetched.partitionIndex}`)
          if (partition === undefined) continue
          if (fetched.errorCode === outOfRangeCode) outOfRange.push(partition)
          else if (fetched.errorCode !== 0) partition.restsUntil = performance.now() + restMillis
          else {
            const { next, records } = recordsIn(partition, fetched)
            partition.take(records, next)
            partition.end = fetched.lastStableOffset
          }
        }
      }
    }

    /** Aborted transactions are not marked in an answer that has errors: of such, only these are looked at. */
    const errorsOnly = (answer: FetchResponse): FetchResponse => ({
      ...answer,
      responses: answer.responses.map(({ partitions, topicId }) => ({
        topicId,
        partitions: partitions.filter(({ errorCode }) => errorCode !== 0)
      }))
    })

    const fetchFrom = (node: number, partitions: ReadonlyArray<Partition>) => {
      const asked = new Map(partitions.map((partition) => [partition.name, partition]))
      const request = {
        node,
        minBytes: 1,
        maxBytes: settings.maxBytesPerFetch,
        maxWaitTime: wanted.length < assigned.size ? shortWaitMillis : waitMillis,
        topics: [...group(partitions, ({ topic }) => metadata.topics.get(topic)?.id ?? "")].map(
          ([topicId, ofTopic]) => ({
            topicId,
            partitions: ofTopic.map(({ next, partition }) => ({
              partition,
              fetchOffset: next,
              partitionMaxBytes: settings.maxBytesPerPartition,
              currentLeaderEpoch: -1,
              lastFetchedEpoch: -1
            }))
          })
        )
      }
      return call(() =>
        reader.fetch(request).then(
          (answer) => take(answer, asked),
          (error: unknown) => {
            // The broker has forgotten what it was last asked; the client tells it all of it the next time.
            if (errorsIn(error).some(isOfFetchSession)) return
            const answer = responseIn(error)
            // What a partition says is of that partition; anything else is of the broker.
            if (answer === undefined || answer.errorCode !== 0) throw error
            reader.clearMetadata()
            take(errorsOnly(answer), asked)
          }
        )
      )
    }

    yield* Effect.forEach(group(wanted, leaderOf), ([node, partitions]) => fetchFrom(node, partitions), {
      concurrency: "unbounded",
      discard: true
    })
    return { outOfRange }
  })
