import { type Message, Sink } from "@twinbox/outbox"
import { RedisConnection, RedisMirror } from "@twinbox/redis"
import { type Context, Effect } from "effect"
import * as BenchCustomer from "./BenchCustomer.ts"
import { type Confirmed, isSampled, nowMillis, type RedisSinkSettings, type Sample } from "./RelayProtocol.ts"

export type Redis = Context.Tag.Service<RedisConnection.RedisConnection>

type BenchSink = Sink.Sink<"anonymized">

/** Writes down who brought which keys. One command a batch: real, and nothing that others would have to wait for. */
const log = (redis: Redis, { keeps, name }: RedisSinkSettings, owner: string): BenchSink => {
  const trimming = keeps === undefined ? [] : ["MAXLEN", "~", String(keeps)]
  return {
    name,
    topics: [BenchCustomer.topic],
    deliver: (batch) =>
      redis.command(["XADD", name, ...trimming, "*", ...batch.flatMap(({ key }) => [key, owner])]).pipe(
        Effect.mapError((cause) => new Sink.SinkError({ sink: name, reason: "Unavailable", cause })),
        Effect.as([])
      )
  }
}

const mirror = (redis: Redis, { name }: RedisSinkSettings) =>
  Effect.provideService(
    RedisMirror.make({ topics: [BenchCustomer.topic], isNew: true, name }),
    RedisConnection.RedisConnection,
    redis
  )

export const make = (redis: Redis, settings: RedisSinkSettings, owner: string) =>
  settings.kind === "mirror" ? mirror(redis, settings) : Effect.succeed(log(redis, settings, owner))

/** A message at a log, and the relay that brought it. */
export interface Arrival {
  readonly key: string
  readonly owner: string
}

/** Arrivals at a log, in order; as often as they came. */
export const arrivals = (redis: Redis, name: string) =>
  Effect.gen(function* () {
    const found: Array<Arrival> = []
    let from = "-"
    for (;;) {
      const reply = yield* redis.command(["XRANGE", name, from, "+", "COUNT", "100"])
      const entries = reply as unknown as ReadonlyArray<readonly [id: string, fields: ReadonlyArray<string>]>
      const last = entries.at(-1)
      if (last === undefined) return found
      for (const [, fields] of entries) {
        for (let at = 0; at + 1 < fields.length; at += 2) {
          found.push({ key: fields[at] ?? "", owner: fields[at + 1] ?? "" })
        }
      }
      from = `(${last[0]}`
    }
  })

/** Counts what a sink confirms. */
export class SinkMeter {
  #count = 0
  #firstCount = 0
  #firstAtMillis = 0
  #lastAtMillis = 0
  #samples: Array<Sample> = []

  note(batch: ReadonlyArray<Message.Message>, rejected: number, samples: boolean): void {
    this.#lastAtMillis = nowMillis()
    if (this.#count === 0) {
      this.#firstAtMillis = this.#lastAtMillis
      this.#firstCount = batch.length
    }
    this.#count += batch.length - rejected
    if (!samples) return
    for (const { key } of batch) if (isSampled(key)) this.#samples.push([key, this.#lastAtMillis])
  }

  /** What there is to tell; samples are told once. */
  take(): Confirmed {
    const samples = this.#samples
    this.#samples = []
    return {
      count: this.#count,
      firstCount: this.#firstCount,
      firstAtMillis: this.#firstAtMillis,
      lastAtMillis: this.#lastAtMillis,
      samples
    }
  }
}

export const metered = (sink: BenchSink, meter: SinkMeter, samples: boolean): BenchSink => ({
  ...sink,
  deliver: (batch) =>
    Effect.tap(sink.deliver(batch), (rejections) =>
      Effect.sync(() => meter.note(batch, rejections.length, samples))
    )
})
