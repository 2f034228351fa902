import { describe, expect, it } from "@effect/vitest"
import { MessageFixture, RecordingSink } from "@twinbox/testkit"
import { Effect } from "effect"
import type { RelayLane } from "../src/RelayLane.ts"
import { SlowLanes } from "../src/SlowLanes.ts"
import * as RelayWorld from "./RelayWorld.ts"

const lane = (hasTooMany: boolean, isIdle: boolean) =>
  ({ hasTooMany: () => hasTooMany, isIdle: () => isIdle }) as RelayLane
const [slow, idle, busy] = [lane(true, false), lane(false, true), lane(false, false)]

describe("slow lanes", () => {
  it("are found when others had nothing to do most of the time, and only then", () => {
    const lanes = new SlowLanes()
    const samples = (count: number, ...seen: ReadonlyArray<RelayLane>) =>
      Array.from({ length: count }, () => lanes.sample(seen)).flat()
    expect(samples(9, slow, idle)).toEqual([])
    expect(samples(9, slow, busy)).toEqual([])
    expect(samples(9, slow, idle)).toEqual([])
    expect(samples(50, busy, idle)).toEqual([])
    expect(samples(10, slow, idle)).toEqual([slow])
    expect(samples(9, slow, idle)).toEqual([])
  })

  it.scoped("fall behind, so that a sink that is slow but there keeps nobody waiting", () =>
    Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const [tardy, quick] = ["tardy", "quick"].map((name) =>
        RecordingSink.make({ name, topics: [MessageFixture.topic] })
      ) as [RecordingSink.RecordingSink, RecordingSink.RecordingSink]
      yield* tardy.slow("10 seconds")
      yield* world.start({ sinks: [tardy.sink, quick.sink], maxInFlight: 40, batchSize: 10 })
      yield* world.commit(
        ...Array.from({ length: 400 }, (_, at) => MessageFixture.make({ key: `customer/${at}` }))
      )
      yield* RelayWorld.advance("9 seconds")
      expect(quick.received()).toHaveLength(400)
      expect(tardy.received().length).toBeLessThan(40)
      yield* tardy.slow("0 seconds")
      yield* world.drained
      for (const sink of [tardy, quick]) {
        expect(world.check(sink)).toMatchObject({ lost: [], disordered: [], duplicates: 0 })
      }
    })
  )
})
