import { ListOffsetTimestamps } from "@platformatic/kafka"
import type { Duration } from "effect"
import { type Cause, Effect, Metric } from "effect"
import type { Apply } from "./KafkaConsumerApply.ts"
import type { Client, Clients } from "./KafkaConsumerClients.ts"
import * as KafkaConsumerMetrics from "./KafkaConsumerMetrics.ts"
import type { KafkaError } from "./KafkaError.ts"
import { type Limits, Partition } from "./KafkaConsumerPartition.ts"

/** Where to begin in a partition of which the group has no offset, or one that is gone. */
export type From = "earliest" | "latest"

export interface Settings {
  readonly consumer: string
  readonly from: From
  readonly limits: Limits
  /** How long records under way are waited for when their partition goes to another consumer. */
  readonly drainWithin: Duration.DurationInput
  readonly applyOf: (topic: string) => Apply
  readonly onDefect: (cause: Cause.Cause<never>) => Effect.Effect<void>
}

interface Place {
  readonly topic: string
  readonly partition: number
}

const nameOf = ({ partition, topic }: Place): string => `${topic}:${partition}`

const placesOf = (assignments: Client["assignments"]): ReadonlyArray<Place> =>
  (assignments ?? []).flatMap(({ partitions, topic }) =>
    partitions.map((partition) => ({ topic, partition }))
  )

const partitionsByTopic = (places: ReadonlyArray<Place>): Record<string, Array<number>> => {
  const byTopic: Record<string, Array<number>> = {}
  for (const { partition, topic } of places) (byTopic[topic] ??= []).push(partition)
  return byTopic
}

const countLost = (consumer: string, topic: string) =>
  Metric.increment(
    Metric.tagged(Metric.tagged(KafkaConsumerMetrics.lost, "consumer", consumer), "topic", topic)
  )

/** The partitions that this consumer works on, of those that the group has given it. */
export class Assignment {
  readonly partitions = new Map<string, Partition>()
  readonly #clients: Clients
  readonly #settings: Settings
  /** The group changes its mind while offsets are read: one change after the other. */
  readonly #changes = Effect.unsafeMakeSemaphore(1)
  /** An older commit must not overtake a newer one. */
  readonly #commits = Effect.unsafeMakeSemaphore(1)

  constructor(clients: Clients, settings: Settings) {
    this.#clients = clients
    this.#settings = settings
  }

  /** Takes up what the group has given, and lays down what it has not. */
  readonly follow: Effect.Effect<void, KafkaError> = Effect.suspend(() =>
    Effect.zipRight(this.#layDownOthers, this.#takeUp)
  ).pipe(this.#changes.withPermits(1))

  /** Lays down what the group has given to others. It waits for that: they begin where the offsets say. */
  readonly yield: Effect.Effect<void> = Effect.suspend(() => this.#layDownOthers).pipe(
    this.#changes.withPermits(1)
  )

  /** Lays down all, within a time. */
  stop(within: Duration.DurationInput): Effect.Effect<void> {
    return Effect.suspend(() => this.#layDown([...this.partitions.values()], within))
  }

  /** Goes on where the broker still has records. */
  readonly restart = (lost: ReadonlyArray<Partition>): Effect.Effect<void, KafkaError> =>
    Effect.gen(this, function* () {
      const current = lost.filter((partition) => this.partitions.get(partition.name) === partition)
      if (current.length === 0) return
      const begins = yield* this.#beginnings(current)
      for (const partition of current) {
        const from = begins(partition)
        yield* Effect.logError(
          `${partition.name}: the broker has no offset ${partition.next} any more; it goes on from ${from}`
        )
        yield* countLost(this.#settings.consumer, partition.topic)
        yield* partition.stop(this.#settings.drainWithin)
        yield* this.#begin(partition, from)
      }
    }).pipe(this.#changes.withPermits(1))

  /** Tells the group how far this consumer has come. What fails is told by the next one. */
  readonly commit: Effect.Effect<void, KafkaError> = Effect.suspend(() => {
    const { call, keeper, member } = this.#clients
    const ahead = [...this.partitions.values()].flatMap((partition) =>
      partition.finished > partition.committed ? [{ partition, offset: partition.finished }] : []
    )
    if (ahead.length === 0 || member.memberId === null) return Effect.void
    // A broker refuses the offsets of a member that has been excluded, or of a generation that is over.
    keeper.memberId = member.memberId
    keeper.generationId = member.generationId
    const offsets = ahead.map(({ offset, partition: { partition, topic } }) => ({
      topic,
      partition,
      offset,
      leaderEpoch: -1
    }))
    return Effect.map(
      call(() => keeper.commit({ offsets })),
      () => {
        for (const { offset, partition } of ahead) partition.committed = offset
      }
    )
  }).pipe(this.#commits.withPermits(1))

  /** Learns where the partitions end. */
  readonly readEnds: Effect.Effect<void, KafkaError> = Effect.suspend(() => {
    const partitions = [...this.partitions.values()]
    if (partitions.length === 0) return Effect.void
    return Effect.map(this.#offsets(partitions, ListOffsetTimestamps.LATEST), (endOf) => {
      for (const partition of partitions) partition.end = endOf(partition) ?? partition.end
    })
  })

  get #layDownOthers(): Effect.Effect<void> {
    const given = new Set(placesOf(this.#clients.member.assignments).map(nameOf))
    const others = [...this.partitions.values()].filter(({ name }) => !given.has(name))
    return this.#layDown(others, this.#settings.drainWithin)
  }

  #layDown(partitions: ReadonlyArray<Partition>, within: Duration.DurationInput): Effect.Effect<void> {
    if (partitions.length === 0) return Effect.void
    return Effect.forEach(partitions, (partition) => partition.stop(within), {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.zipRight(
        Effect.catchAll(this.commit, (error) =>
          Effect.logWarning(`offsets were not committed, so others repeat some records: ${error.message}`)
        )
      ),
      Effect.zipRight(
        Effect.sync(() => {
          for (const { name } of partitions) this.partitions.delete(name)
        })
      )
    )
  }

  get #takeUp(): Effect.Effect<void, KafkaError> {
    const places = placesOf(this.#clients.member.assignments)
    const added = places.filter((place) => !this.partitions.has(nameOf(place)))
    if (added.length === 0) return Effect.void
    return Effect.gen(this, function* () {
      const committed = yield* this.#committed(added)
      const unknown = added.filter((place) => committed(place) === undefined)
      const begins = unknown.length === 0 ? () => 0n : yield* this.#beginnings(unknown)
      yield* Effect.forEach(added, (place) => this.#begin(place, committed(place) ?? begins(place)), {
        discard: true
      })
    })
  }

  #begin({ partition: index, topic }: Place, from: bigint): Effect.Effect<void> {
    const partition = new Partition(topic, index, from, this.#settings.limits)
    this.partitions.set(partition.name, partition)
    return partition.start(this.#settings.applyOf(topic), this.#settings.onDefect)
  }

  #committed(places: ReadonlyArray<Place>) {
    const { call, keeper } = this.#clients
    const topics = Object.entries(partitionsByTopic(places)).map(([topic, partitions]) => ({
      topic,
      partitions
    }))
    return Effect.map(
      call(() => keeper.listCommittedOffsets({ topics })),
      (offsets) =>
        ({ partition, topic }: Place) => {
          const offset = offsets.get(topic)?.[partition]
          return offset === undefined || offset < 0n ? undefined : offset
        }
    )
  }

  #beginnings(places: ReadonlyArray<Place>) {
    const { from } = this.#settings
    return Effect.map(
      this.#offsets(
        places,
        from === "earliest" ? ListOffsetTimestamps.EARLIEST : ListOffsetTimestamps.LATEST
      ),
      (offsetOf) => (place: Place) => offsetOf(place) ?? 0n
    )
  }

  #offsets(places: ReadonlyArray<Place>, timestamp: bigint) {
    const { call, keeper } = this.#clients
    const partitions = partitionsByTopic(places)
    return Effect.map(
      call(() => keeper.listOffsets({ topics: Object.keys(partitions), partitions, timestamp })),
      (offsets) =>
        ({ partition, topic }: Place): bigint | undefined =>
          offsets.get(topic)?.[partition]
    )
  }
}
