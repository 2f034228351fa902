import { expect, it } from "@effect/vitest"
import type { TwinSync } from "@twinbox/repository"
import { Context, Effect, Layer, Queue, TestClock } from "effect"
import { CustomerSync } from "../src/CustomerSync.ts"
import * as Readiness from "../src/Readiness.ts"
import * as RoleFailures from "../src/RoleFailures.ts"
import * as StatusBoard from "../src/StatusBoard.ts"
import * as SyncRole from "../src/SyncRole.ts"

it.scoped("The role sync is ready as long as it has a pulse", () =>
  Effect.gen(function* () {
    const beats = yield* Queue.unbounded<void>()
    const follow: TwinSync.TwinSync["follow"] = ({ onPulse = Effect.void } = {}) =>
      Effect.forever(Effect.zipRight(Queue.take(beats), onPulse))
    const sync = Layer.succeed(CustomerSync, { follow } as TwinSync.TwinSync)
    const context = yield* SyncRole.layer.pipe(
      Layer.provideMerge(Layer.mergeAll(sync, Readiness.layer, RoleFailures.layer, StatusBoard.layer)),
      Layer.build
    )
    const finding = Effect.gen(function* () {
      // Older findings are told for a second.
      yield* TestClock.adjust("1 second")
      const found = yield* Context.get(context, Readiness.Readiness).findings
      return found.get("sync")
    })
    expect(yield* finding).toEqual({ reason: "the sync has not begun to follow the customers yet" })
    yield* Queue.offer(beats, undefined)
    yield* Effect.yieldNow()
    expect(yield* finding).toEqual({})
    yield* TestClock.adjust("13 seconds")
    expect(yield* finding).toEqual({})
    yield* TestClock.adjust("2 seconds")
    expect(yield* finding).toEqual({ reason: "the sync waits for MongoDB or for room in the outbox" })
    yield* Queue.offer(beats, undefined)
    yield* Effect.yieldNow()
    expect(yield* finding).toEqual({})
  })
)
