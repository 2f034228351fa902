import { describe } from "@effect/vitest"
import * as StoreAdminTests from "./StoreAdminTests.ts"
import { defineOver, type MakeHarness } from "./StoreHarness.ts"
import * as StoreLeaseTests from "./StoreLeaseTests.ts"
import * as StoreReadTests from "./StoreReadTests.ts"
import * as StoreSettleTests from "./StoreSettleTests.ts"
import * as StoreUpkeepTests from "./StoreUpkeepTests.ts"
import * as StoreWriteTests from "./StoreWriteTests.ts"

/**
 * Registers tests of everything the `OutboxStore` and `OutboxAdmin` ports promise.
 *
 * @param make makes an empty store; it is run anew for each test, in the test's scope
 */
export const suite = (name: string, make: MakeHarness): void => {
  describe(`${name} as an outbox store`, () => {
    const define = defineOver(make)
    StoreWriteTests.define(define)
    StoreReadTests.define(define)
    StoreLeaseTests.define(define)
    StoreSettleTests.define(define)
    StoreUpkeepTests.define(define)
    StoreAdminTests.define(define)
  })
}
