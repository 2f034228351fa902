import { Backoff } from "@twinbox/outbox"
import type { NotFound } from "@twinbox/repository"
import { type Context, Clock, Duration, Effect, Layer, Random } from "effect"
import { Customers } from "./Customers.ts"
import { fakeCustomer, fakePatch } from "./FakeCustomer.ts"
import * as GeneratorBatch from "./GeneratorBatch.ts"
import { IdPool } from "./IdPool.ts"
import { type RoleError, RoleFailures } from "./RoleFailures.ts"
import { type GeneratorSettings, Settings } from "./Settings.ts"

export type Requirements = Customers | RoleFailures | Settings

type Repository = Context.Tag.Service<Customers>

/** Customers to be changed or deleted are picked from so many, so that memory stays small however many there are. */
const poolCapacity = 10_000

/** Customers of earlier runs that are picked up at a start. */
const startingPool = 1_000

/** 100 ms to 2 s between attempts, with jitter, without end. */
const outageSchedule = Backoff.between("100 millis", "2 seconds")

/** After an error that trying again would not mend, a pause: it must not fill the log. */
const pauseAfterRefusal = Duration.seconds(1)

interface Refusal {
  readonly message: string
  readonly retryable: boolean
}

/** Somebody else may have deleted a customer meanwhile. */
const isGone = (error: Refusal | NotFound): error is NotFound => "_tag" in error && error._tag === "NotFound"

/** Makes one write of a batch; gives the id that may be picked again. */
const perform = (customers: Repository, operation: GeneratorBatch.Operation) =>
  Effect.gen(function* () {
    switch (operation._tag) {
      case "Create": {
        const createdAt = new Date(yield* Clock.currentTimeMillis)
        return (yield* customers.create(fakeCustomer(operation.seed, createdAt)))._id
      }
      case "Update":
        return (yield* customers.update(operation.id, fakePatch(operation.seed)))._id
      case "Delete":
        yield* customers.delete(operation.id)
        return undefined
    }
  })

/** An outage is told once, when it begins and when it ends, however many writes wait for it. */
const outageWatch = () => {
  let isAway = false
  const began = (error: Refusal) =>
    Effect.suspend(() => {
      if (isAway || !error.retryable) return Effect.void
      isAway = true
      return Effect.logWarning(`${error.message}; saving goes on when it is back`)
    })
  const ended = Effect.suspend(() => {
    if (!isAway) return Effect.void
    isAway = false
    return Effect.logInfo("saving again")
  })
  return { began, ended }
}

/**
 * Makes, changes and deletes fake customers until interrupted. A write that fails because MongoDB is away is
 * made again until it succeeds.
 */
export const run = (customers: Repository, settings: GeneratorSettings): Effect.Effect<never, Refusal> =>
  Effect.gen(function* () {
    const pool = new IdPool(poolCapacity)
    const outage = outageWatch()
    const known = yield* customers.find({}, { sort: { _id: -1 }, limit: startingPool })
    for (const { _id } of known) pool.add(_id, 0)

    const write = (operation: GeneratorBatch.Operation) =>
      perform(customers, operation).pipe(
        Effect.tapError(outage.began),
        Effect.retry({ while: (error) => error.retryable, schedule: outageSchedule }),
        Effect.catchIf(isGone, () => Effect.succeed(undefined)),
        Effect.catchAll((error) =>
          Effect.logWarning(error.message).pipe(
            Effect.zipRight(Effect.sleep(pauseAfterRefusal)),
            Effect.as(undefined)
          )
        ),
        Effect.tap(outage.ended)
      )

    const batch = Effect.gen(function* () {
      const operations = yield* GeneratorBatch.next(settings, pool)
      const ids = yield* Effect.forEach(operations, write, { concurrency: "unbounded" })
      for (const id of ids) if (id !== undefined) pool.add(id, yield* Random.next)
    })

    const paced = Effect.gen(function* () {
      const [took] = yield* Effect.timed(batch)
      const rest = settings.delayMillis - Duration.toMillis(took)
      yield* rest > 0 ? Effect.sleep(Duration.millis(rest)) : Effect.yieldNow()
    })
    return yield* Effect.forever(paced)
  })

/** The role `generator`. When it stops, writes under way finish; those that wait for their turn are withdrawn. */
export const layer: Layer.Layer<never, RoleError, Requirements> = Layer.scopedDiscard(
  Effect.gen(function* () {
    const customers = yield* Customers
    const { generator } = yield* Settings
    const failures = yield* RoleFailures
    yield* failures.fork(run(customers, generator))
  })
)
