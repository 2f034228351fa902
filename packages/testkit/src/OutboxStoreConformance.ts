import { describe } from "@effect/vitest"
import type { Effect, Scope } from "effect"
import { defineOver, type StoreHarness } from "./StoreHarness.ts"
import * as StoreReadTests from "./StoreReadTests.ts"
import * as StoreSettleTests from "./StoreSettleTests.ts"
import * as StoreWriteTests from "./StoreWriteTests.ts"

/**
 * Registers tests of everything the `OutboxStore` port promises.
 *
 * @param harness makes an empty store; it is run anew for each test, in the test's scope
 */
export const suite = (name: string, harness: Effect.Effect<StoreHarness, unknown, Scope.Scope>): void => {
  describe(`${name} as an outbox store`, () => {
    const define = defineOver(harness)
    StoreWriteTests.define(define)
    StoreReadTests.define(define)
    StoreSettleTests.define(define)
  })
}
