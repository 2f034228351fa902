import { NodeRuntime } from "@effect/platform-node"
import { AnonymizeKey } from "@twinbox/anonymize"
import { MongoOutbox } from "@twinbox/mongodb"
import { TwinRepository } from "@twinbox/repository"
import { Clock, Config, Duration, Effect, Random } from "effect"
import { Customer, customerCollection, customerTopic } from "../../../examples/reference-app/src/Customer.ts"
import { fakeCustomer, fakePatch } from "../../../examples/reference-app/src/FakeCustomer.ts"
import { livesWithParent } from "./livesWithParent.ts"

const settings = Config.all({
  name: Config.string("NAME"),
  mongoUri: Config.redacted("MONGODB_URI"),
  groupCommit: Config.boolean("GROUP_COMMIT"),
  /** Between two writes of one of the fibers. */
  pause: Config.map(Config.integer("PAUSE_MILLIS"), Duration.millis)
})

/** Writers in this process that do not know of each other. */
const fibers = 6

/** Customers that everybody writes all the time, and the share of writes that goes to them. */
const hotIds = 5
const hotShare = 0.3

/** All the others. */
const coldIds = 2_000

const deleteShare = 0.1

const pickId = Effect.gen(function* () {
  const isHot = (yield* Random.next) < hotShare
  return isHot
    ? `hot-${yield* Random.nextIntBetween(0, hotIds)}`
    : `cold-${yield* Random.nextIntBetween(0, coldIds)}`
})

type Customers = TwinRepository.TwinRepository<Customer, typeof Customer.Encoded, unknown>

/** Changes a customer, and makes those that are not there. */
const write = (customers: Customers) =>
  Effect.gen(function* () {
    const id = yield* pickId
    const seed = yield* Random.nextInt
    if ((yield* Random.next) < deleteShare) return yield* customers.delete(id)
    const createdAt = new Date(yield* Clock.currentTimeMillis)
    return yield* customers.update(id, fakePatch(seed)).pipe(
      Effect.catchTag("NotFound", () => customers.create({ ...fakeCustomer(seed, createdAt), _id: id })),
      Effect.asVoid
    )
  })

const main = Effect.gen(function* () {
  const { groupCommit, mongoUri, name, pause } = yield* settings
  const work = Effect.gen(function* () {
    const customers = yield* TwinRepository.make({
      schema: Customer,
      collection: customerCollection,
      topic: customerTopic,
      key: yield* AnonymizeKey.config,
      groupCommit
    })
    // What fails is of no interest: what counts is what committed.
    const keepWriting = Effect.forever(Effect.zipRight(Effect.ignore(write(customers)), Effect.sleep(pause)))
    return yield* Effect.all(
      Array.from({ length: fibers }, () => keepWriting),
      { concurrency: "unbounded" }
    )
  })
  return yield* Effect.provide(work, MongoOutbox.layer({ uri: mongoUri, appName: name }))
}).pipe(Effect.scoped)

livesWithParent()
NodeRuntime.runMain(main)
