import { describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import * as SyncSpeed from "../src/SyncSpeed.ts"
import * as Sync from "./SyncCliWorld.ts"

const now = ["--recheck-after", "0s"]

interface Document {
  readonly repair: boolean
  readonly standing: number
  readonly compared: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly leftOut: ReadonlyArray<unknown>
  readonly differences: ReadonlyArray<{
    readonly where: string
    readonly id: string
    readonly kind: string
    readonly outcome: string
    readonly details: ReadonlyArray<string>
  }>
  readonly more: number
}

const parse = (stdout: string) => JSON.parse(stdout) as Document

/** Ids by kind. */
const kindsOf = ({ differences }: Document) =>
  Object.fromEntries(differences.map(({ id, kind }) => [kind, id]))

describe("twinbox verify", () => {
  it.scopedLive("finds differences of every kind between originals and twins, and repairs them", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(8)
      const planted = yield* Sync.plantTwins(world)
      yield* Effect.promise(() => world.originals.insertOne(Sync.foreign("odd", { city: 7 })))
      const before = yield* world.everything

      const found = yield* world.run("verify", "--no-mirrors", "--json", "--limit", "1000", ...now)
      expect(found).toMatchObject({ code: 1, stderr: "twinbox: 7 differences found and not put right\n" })
      const document = parse(found.stdout)
      expect(kindsOf(document)).toEqual({ ...planted, unfit: "odd" })
      expect(document).toMatchObject({ repair: false, standing: 7, more: 0 })
      expect(document.compared).toMatchObject([
        { where: "twins", examined: 11, missing: 1, stale: 1, altered: 1, extra: 1, unfit: 1, standing: 7 }
      ])
      const details = (kind: string) => document.differences.find((one) => one.kind === kind)?.details
      expect(details("altered")).toEqual(["city"])
      expect(details("unfit")).toEqual(["city has the wrong type"])
      expect(yield* world.everything).toEqual(before)

      const repaired = yield* world.run("verify", "--no-mirrors", "--repair", ...now)
      expect(repaired.code).toBe(1)
      expect(repaired.stdout).toContain("6 differences repaired, 1 difference left")
      expect(repaired.stdout).toMatch(/^twins +odd +unfit +left +\d+s +city has the wrong type$/m)
      expect(repaired.stdout).toMatch(/^twins +nobody +extra +written /m)

      yield* Effect.promise(() => world.originals.deleteOne({ _id: "odd" }))
      const last = yield* world.run("verify", "--no-mirrors", ...now)
      expect(last).toMatchObject({ code: 0, stderr: "" })
      expect(last.stdout).toMatch(/\n\nno differences\n$/)
      for (const ended of [found, repaired, last]) Sync.expectDiscreet(ended, world)
    })
  )

  it.scopedLive("finds and repairs those of the mirrors, and of the named one only", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(5)
      yield* world.drain
      const all = yield* world.run("verify", "--json", ...now)
      expect(all).toMatchObject({ code: 0, stderr: "" })
      expect(parse(all.stdout).compared).toMatchObject([
        { where: "twins", examined: 5, standing: 0 },
        { where: "redis-mirror", examined: 5, standing: 0 },
        { where: "redis-originals", examined: 5, standing: 0 }
      ])

      const planted = yield* Sync.plantMirror(world)
      const words = ["verify", "--mirror", "redis-mirror", ...now]
      const found = yield* world.run(...words, "--json")
      expect(found.code).toBe(1)
      const document = parse(found.stdout)
      expect(kindsOf(document)).toEqual(planted)
      expect(document.differences.every(({ where }) => where === "redis-mirror")).toBe(true)
      expect(document.leftOut).toEqual([{ mirror: "redis-originals", reason: "not named by --mirror" }])

      const repaired = yield* world.run(...words, "--repair")
      expect(repaired).toMatchObject({ code: 0, stderr: "" })
      expect(repaired.stdout).toContain("4 differences repaired, none is left")
      yield* world.drain
      expect(yield* world.run("verify", ...now)).toMatchObject({ code: 0, stderr: "" })
      for (const ended of [all, found, repaired]) Sync.expectDiscreet(ended, world)
    })
  )

  it.scopedLive("says which mirrors were left out, and why", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(1)
      const without = yield* world.runWith({ REDIS_URL: "" }, "verify", ...now)
      expect(without).toMatchObject({ code: 0, stderr: "" })
      expect(without.stdout).toContain(
        "not compared: redis-mirror (no REDIS_URL)\nnot compared: redis-originals (no REDIS_URL)\n"
      )
      const away = yield* world.run("verify", "--redis-url", "redis://ann:hidden@127.0.0.1:1", ...now)
      expect(away).toMatchObject({ code: 1, stdout: "" })
      expect(away.stderr).toMatch(/^twinbox: Redis at 127\.0\.0\.1:1 does not answer.*\n$/)
      expect(away.stderr).not.toContain("hidden")
    })
  )

  it.scopedLive("lists as many as are asked for, twins that would go first, and counts the others", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(3)
      yield* Effect.promise(async () => {
        await world.twins.updateMany({}, { $inc: { version: 1 } })
        await world.twins.insertOne({ _id: "nobody", version: 2, keyVersion: 1, city: "Rome" })
      })
      const ended = yield* world.run("verify", "--no-mirrors", "--limit", "2", ...now)
      expect(ended.code).toBe(1)
      expect(ended.stdout).toMatch(/^IN .*\ntwins +nobody +extra .*\ntwins +\S+ +stale .*\n\nand 2 more/m)
      expect(ended.stdout).toContain("4 differences; nothing was written: --repair would put right 4")
    })
  )
})

describe("the speed of a sync", () => {
  it("is that of the options, and the library's own without them", () => {
    const none = Option.none()
    expect(SyncSpeed.of({ concurrency: none, maxPerSecond: none })).toEqual({})
    expect(SyncSpeed.of({ concurrency: Option.some(3), maxPerSecond: Option.some(9) })).toEqual({
      concurrency: 3,
      maxPerSecond: 9
    })
  })

  it.scopedLive.each(["verify --no-mirrors --recheck-after 0s", "reindex"])("is kept to: %s", (line) =>
    Effect.gen(function* () {
      const world = yield* Sync.make(20)
      const limits = ["--batch-size", "10", "--max-per-second", "15", "--concurrency", "1"]
      const [took, ended] = yield* Effect.timed(world.run(...line.split(" "), ...limits))
      expect(ended).toMatchObject({ code: 0, stderr: "" })
      expect(Duration.toMillis(took)).toBeGreaterThan((20 / 15) * 1_000)
    })
  )
})

describe("a command line of verify or reindex that makes no sense", () => {
  it.scopedLive("is refused with exit code 2 before anything is compared", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(0)
      const lines: ReadonlyArray<readonly [string, string]> = [
        ["verify --repair --dry-run", "--repair and --dry-run"],
        ["verify --mirror redis-mirror --no-mirrors", "--mirror and --no-mirrors"],
        [
          "verify --mirror other",
          "there is no mirror 'other' in the config, which has: redis-mirror, redis-originals"
        ],
        ["verify --recheck-after soon", "--recheck-after must be"],
        ["verify --concurrency 0", "--concurrency must be"],
        ["reindex --batch-size 10001", "--batch-size must be a whole number from 1 to 10000"]
      ]
      for (const [line, problem] of lines) {
        const { code, stderr, stdout } = yield* world.run(...line.split(" "))
        expect({ line, code, stdout }).toEqual({ line, code: 2, stdout: "" })
        expect(stderr).toContain(problem)
        expect(stderr.trimEnd().split("\n")).toHaveLength(1)
      }
    })
  )
})
