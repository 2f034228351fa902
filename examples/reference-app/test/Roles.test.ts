import { Either, Option } from "effect"
import { describe, expect, it } from "vitest"
import * as Roles from "../src/Roles.ts"

describe("--roles", () => {
  it("takes names with commas and blanks, each once, in the order in which they stop", () => {
    expect(Roles.parse("relay, generator,relay")).toEqual(Either.right(["generator", "relay"]))
    expect(Roles.parse("api,consumer,sync,generator,ingest,relay")).toEqual(Either.right(Roles.names))
    expect(Roles.names).toEqual(["generator", "ingest", "sync", "relay", "consumer", "api"])
    expect(Roles.parse("relay")).toEqual(Either.right(["relay"]))
  })

  it("names what it does not know, and what there is", () => {
    expect(Roles.parse("relay,toString")).toEqual(
      Either.left("there is no role 'toString': the roles are generator, ingest, sync, relay, consumer, api")
    )
    expect(Roles.parse(" , ")).toEqual(
      Either.left("name at least one role of generator, ingest, sync, relay, consumer, api")
    )
  })

  it("make a whole when they both write and deliver, whether one can ask them or not", () => {
    expect(Roles.isWhole(["generator", "relay"])).toBe(true)
    expect(Roles.isWhole(["generator", "api"])).toBe(false)
    expect(Roles.isWhole(["relay", "api"])).toBe(false)
  })

  it("can leave out what needs a server that is not there", () => {
    expect(Roles.without(Roles.names, "Redis")).toEqual(["generator", "ingest", "sync", "consumer", "api"])
    expect(Roles.without(Roles.names, "Kafka")).toEqual(["generator", "ingest", "sync", "relay", "api"])
    expect(Roles.without(Roles.names, "MongoDB")).toEqual([])
  })

  it("know which servers they can make something of", () => {
    expect(Roles.wants(["api"], "Redis")).toBe(true)
    expect(Roles.wants(["generator"], "Redis")).toBe(false)
    expect(Roles.wants(["generator", "relay"], "Redis")).toBe(true)
    expect(Roles.wants(["relay"], "Kafka")).toBe(true)
    expect(Roles.wants(["generator", "ingest", "api"], "Kafka")).toBe(false)
  })

  it("are all of them when none is named, and sync alone for --full-reindex", () => {
    const alone = Either.left(
      "--full-reindex is for the role sync alone: run other roles in a process of their own"
    )
    expect(Roles.choose(Option.none(), false)).toEqual(Either.right(Roles.names))
    expect(Roles.choose(Option.none(), true)).toEqual(Either.right(["sync"]))
    expect(Roles.choose(Option.some("sync"), true)).toEqual(Either.right(["sync"]))
    expect(Roles.choose(Option.some("sync,relay"), true)).toEqual(alone)
    expect(Roles.choose(Option.some("relay"), true)).toEqual(alone)
    expect(Roles.choose(Option.some("sync,relay"), false)).toEqual(Either.right(["sync", "relay"]))
    expect(Either.isLeft(Roles.choose(Option.some("nobody"), true))).toBe(true)
  })
})
