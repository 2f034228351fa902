import { existsSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { RedisServer, resetData } from "@twinbox/services"
import { Effect } from "effect"
import { expect } from "vitest"
import { killChild, startChild } from "./startChild.ts"
import { isRunning, redisOptions, temporaryFolder } from "./testOptions.ts"

it.scopedLive("reset stops what a killed run left and deletes the data", () =>
  Effect.gen(function* () {
    const dataFolder = join(yield* temporaryFolder, ".data")
    const left = yield* startChild("redis", join(dataFolder, "redis"))
    yield* killChild(left)
    expect(yield* resetData(dataFolder)).toBe(true)
    expect(isRunning(left.pid)).toBe(false)
    expect(existsSync(dataFolder)).toBe(false)
    expect(yield* resetData(dataFolder)).toBe(false)
  })
)

it.scopedLive("reset refuses, and deletes nothing, while an app runs on the data", () =>
  Effect.gen(function* () {
    const dataFolder = yield* temporaryFolder
    yield* RedisServer.start({ ...(yield* redisOptions), dataFolder: join(dataFolder, "redis") })
    const error = yield* Effect.flip(resetData(dataFolder))
    expect(error.reason).toBe("InUse")
    expect(error.message).toContain(`process ${process.pid}`)
    expect(existsSync(join(dataFolder, "redis", "server-0", "server.json"))).toBe(true)
  })
)
