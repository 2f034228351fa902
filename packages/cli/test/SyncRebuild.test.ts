import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Sync from "./SyncCliWorld.ts"

describe("twinbox rebuild", () => {
  it.scopedLive("builds the named mirror anew, and says what it did", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(7)
      yield* world.drain
      yield* Sync.plantMirror(world)
      const before = yield* world.everything
      const words = ["rebuild", "--mirror", "redis-mirror"]
      const rebuilt = yield* world.run(...words, "--max-per-second", "1000")
      expect(rebuilt).toMatchObject({ code: 0, stderr: "" })
      expect(rebuilt.stdout).toBe(
        [
          "the mirror redis-mirror is rebuilt",
          "",
          "7 states read from MongoDB: 3 records put right, 4 were right",
          "1 record removed that nothing explained",
          ""
        ].join("\n")
      )
      expect(yield* world.everything).toEqual(before)
      const verified = yield* world.run("verify", "--recheck-after", "0s")
      expect(verified).toMatchObject({ code: 0, stderr: "" })

      yield* world.redis.command(["FLUSHDB"])
      const again = yield* world.run(...words, "--fresh", "--json")
      expect(again).toMatchObject({ code: 0, stderr: "" })
      expect(JSON.parse(again.stdout)).toEqual({
        mirror: "redis-mirror",
        staged: 7,
        written: 7,
        same: 0,
        newer: 0,
        pending: 0,
        removed: 0,
        unfit: 0,
        foreign: 0
      })
      expect(yield* world.redis.command(["KEYS", "customer_v2:*"])).toEqual([])
      expect(yield* world.redis.command(["KEYS", "twinbox:rebuild:*"])).toEqual([])
      for (const ended of [rebuilt, again]) Sync.expectDiscreet(ended, world)
    })
  )

  it.scopedLive("asks which mirror is meant, and for a Redis", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(0)
      const which = yield* world.run("rebuild")
      expect(which).toMatchObject({ code: 2, stdout: "" })
      expect(which.stderr).toBe(
        "twinbox: which mirror? add --mirror with one of: redis-mirror, redis-originals\n"
      )
      const other = yield* world.run("rebuild", "--mirror", "other")
      expect(other).toMatchObject({ code: 2, stdout: "" })
      const without = yield* world.runWith({ REDIS_URL: "" }, "rebuild", "--mirror", "redis-mirror")
      expect(without).toMatchObject({ code: 2, stdout: "" })
      expect(without.stderr).toContain("which Redis?")
    })
  )

  it.scopedLive("is refused while another rebuild of the mirror is under way", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(0)
      yield* world.redis.command(["SET", "twinbox:rebuild:redis-mirror:lock", "another"])
      const refused = yield* world.run("rebuild", "--mirror", "redis-mirror")
      expect(refused).toMatchObject({ code: 1, stdout: "" })
      expect(refused.stderr).toBe(
        "twinbox: another rebuild of the mirror 'redis-mirror' is under way: wait until it has ended\n"
      )
    })
  )
})
