import { chmodSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { it } from "@effect/vitest"
import { DownloadFailed, MongoServer, type ProgramDownload, RedisServer } from "@twinbox/services"
import { Effect, Option } from "effect"
import { describe, expect } from "vitest"
import { cachedProgram } from "../src/ProgramCache.ts"
import { programVersion } from "../src/ProgramVersion.ts"
import { mongoOptions, recorder, redisOptions, silent, temporaryFolder } from "./testOptions.ts"
import { startChild } from "./startChild.ts"

const failing: ProgramDownload = {
  label: "a program",
  cacheKey: "program",
  fitsMachine: true,
  fetch: () => Effect.fail(new DownloadFailed({ message: "the index is out of reach" }))
}

const writeProgram = (path: string, says: string): void => {
  writeFileSync(path, `#!/bin/sh\necho "${says}"\n`)
  chmodSync(path, 0o755)
}

/** Takes a moment, so that two that start at once overlap. */
const counting = (fetched: Array<string>, says = "Redis server v=7.0.1"): ProgramDownload => ({
  ...failing,
  fetch: (folder, target) =>
    Effect.sync(() => {
      fetched.push(folder)
      writeProgram(target, says)
    }).pipe(Effect.delay("200 millis"))
})

const request = (cacheFolder: string, report = silent) => ({
  service: "Redis" as const,
  cacheFolder,
  versionOf: programVersion({ pattern: /v=(\d+\.\d+\.\d+)/, minimum: [6, 2] }),
  report
})

describe("when nothing can be had", () => {
  it.scopedLive("one sentence says what to install or set", () =>
    Effect.gen(function* () {
      const nothing = { searchPath: "", cacheFolder: yield* temporaryFolder, program: Option.none() }
      const failed = { ...nothing, downloads: [failing] }
      const redis = yield* Effect.flip(RedisServer.start({ ...(yield* redisOptions), ...failed }))
      expect(redis.reason).toBe("DownloadFailed")
      expect(redis.message).toBe(
        "There is no redis-server on this machine and none could be downloaded (the index is out of reach): install redis-server (6.2 or newer) so that it is on the PATH, or set REDIS_URL to a Redis you have."
      )
      const unfit = { ...nothing, downloads: [{ ...failing, fitsMachine: false }] }
      const mongo = yield* Effect.flip(MongoServer.start({ ...(yield* mongoOptions), ...unfit }))
      expect(mongo.reason).toBe("NotFound")
      expect(mongo.message).toBe(
        "There is no mongod on this machine and no download fits it: install mongod (5.0 or newer) so that it is on the PATH, or set MONGODB_URI to a replica set you have."
      )
    })
  )

  it.scopedLive(
    "a program that the environment names and that does not run is an error, not passed over",
    () =>
      Effect.gen(function* () {
        const program = Option.some("/nowhere/mongod")
        const error = yield* Effect.flip(MongoServer.start({ ...(yield* mongoOptions), program }))
        expect([error.reason, error.message]).toEqual([
          "NotFound",
          expect.stringContaining("/nowhere/mongod")
        ])
      })
  )
})

describe("a program on the PATH", () => {
  it.scopedLive("is passed over with a line when it is too old", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeProgram(join(folder, "redis-server"), "Redis server v=5.0.7 sha=0")
      const { lines, report } = recorder()
      const options = { ...(yield* redisOptions), searchPath: folder, downloads: [], report }
      const error = yield* Effect.flip(RedisServer.start(options))
      expect(error.reason).toBe("NotFound")
      expect(lines[0]).toContain("5.0.7, older than 6.2")
    })
  )
})

describe("a downloaded program", () => {
  it.scopedLive("is fetched once for two that need it at the same time, and leaves nothing partial", () =>
    Effect.gen(function* () {
      const cacheFolder = yield* temporaryFolder
      const fetched: Array<string> = []
      const get = cachedProgram(request(cacheFolder), counting(fetched))
      const [one, other] = yield* Effect.all([get, get], { concurrency: 2 })
      expect(one).toEqual(other)
      expect(fetched).toHaveLength(1)
      expect(readdirSync(join(cacheFolder, "program"))).toEqual(["current"])
      yield* get
      expect(fetched).toHaveLength(1)
    })
  )

  it.scopedLive("is fetched safely by two processes at once", () =>
    Effect.gen(function* () {
      const cacheFolder = yield* temporaryFolder
      const start = startChild("redis", "", { TWINBOX_CACHE: cacheFolder })
      const [one, other] = yield* Effect.all([start, start], { concurrency: 2 })
      expect(one.uri).not.toBe(other.uri)
      for (const { child } of [one, other]) child.kill("SIGTERM")
    })
  )

  it.scopedLive("does not get into the cache when it does not run", () =>
    Effect.gen(function* () {
      const cacheFolder = yield* temporaryFolder
      const bad = counting([], "cannot execute")
      const error = yield* Effect.flip(cachedProgram(request(cacheFolder), bad))
      expect(error.message).toContain("does not say its version")
      expect(readdirSync(join(cacheFolder, "program"))).not.toContain("current")
    })
  )

  it.scopedLive("is fetched again when the one in the cache is broken", () =>
    Effect.gen(function* () {
      const cacheFolder = yield* temporaryFolder
      const fetched: Array<string> = []
      const get = cachedProgram(request(cacheFolder), counting(fetched))
      const { path } = yield* get
      writeFileSync(path, "broken")
      expect((yield* get).version).toBe("7.0.1")
      expect(fetched).toHaveLength(2)
    })
  )
})
