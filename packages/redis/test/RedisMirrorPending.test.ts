import { describe, expect, it } from "@effect/vitest"
import { type Message, RemoteWrite } from "@twinbox/outbox"
import { RedisMirror } from "@twinbox/redis"
import { Effect } from "effect"
import { customerOriginals, message, using } from "./testParts.ts"
import { create, listingsAt, onFreshRedis, originalsOver, recordAt, remove } from "./testOutbox.ts"

const withMirror = Effect.gen(function* () {
  const parts = yield* onFreshRedis()
  return { ...parts, mirror: yield* originalsOver(parts.connection) }
})

const original = (id: string, version: number, more: Readonly<Record<string, string>> = {}) =>
  message(id, version, JSON.stringify({ _id: id, version, ...more }))

/** A message that comes of a write in Redis. */
const of = (position: string, given: Message.Message): Message.Message => ({
  ...given,
  headers: { [RemoteWrite.header]: position }
})

describe("a mirror of originals, over a write that MongoDB has not decided on", () => {
  it.scopedLive("leaves it alone, and remembers the newest version it skipped", () =>
    Effect.gen(function* () {
      const { mirror, outbox, url } = yield* withMirror
      const { pending } = yield* outbox.write(create("42", { name: "Ada" }))
      const shown = { version: "0", pending, json: '{"_id":"42","name":"Ada"}' }
      expect(yield* mirror.deliver([original("42", 2)])).toEqual([])
      expect(yield* recordAt(url, "42")).toEqual({ ...shown, skipped: "2" })
      yield* mirror.deliver([original("42", 1)])
      yield* mirror.deliver([of("1-1", original("42", 2))])
      expect(yield* recordAt(url, "42")).toEqual({ ...shown, skipped: "2" })
      yield* mirror.deliver([message("42", 3, null)])
      expect(yield* recordAt(url, "42")).toEqual({ ...shown, skipped: "3" })
    })
  )

  it.scopedLive("takes the message that comes of it, and is over with it", () =>
    Effect.gen(function* () {
      const { mirror, outbox, url } = yield* withMirror
      const { pending } = yield* outbox.write(create("42", { name: "Ada", email: "ada@x" }))
      yield* mirror.deliver([original("42", 1)])
      yield* mirror.deliver([of(pending, original("42", 2, { email: "new@x" }))])
      expect(yield* recordAt(url, "42")).toEqual({
        version: "2",
        json: '{"_id":"42","version":2,"email":"new@x"}',
        "index:email": "new@x"
      })
      expect(yield* listingsAt(url)).toEqual({ ids: ["42"], emails: ["new@x\u000042"] })
    })
  )

  it.scopedLive("takes a newer message of the same batch in its place", () =>
    Effect.gen(function* () {
      const { mirror, outbox, url } = yield* withMirror
      const { pending } = yield* outbox.write(create("42", { name: "Ada" }))
      yield* mirror.deliver([of("1-1", original("42", 1)), of(pending, original("42", 2)), original("42", 3)])
      expect(yield* recordAt(url, "42")).toEqual({ version: "3", json: '{"_id":"42","version":3}' })
    })
  )

  it.scopedLive("leaves it to the reader when it has skipped a newer message before", () =>
    Effect.gen(function* () {
      const { mirror, outbox, url } = yield* withMirror
      const { pending } = yield* outbox.write(create("42", { name: "Ada" }))
      yield* mirror.deliver([original("42", 5)])
      yield* mirror.deliver([of(pending, original("42", 4))])
      expect(yield* recordAt(url, "42")).toMatchObject({ pending, version: "0", skipped: "5" })
    })
  )

  it.scopedLive("does not count a message that it refused as one that decides", () =>
    Effect.gen(function* () {
      const { connection, outbox, url } = yield* onFreshRedis()
      const mirror = yield* using(connection)(
        RedisMirror.originals({ topics: [customerOriginals], isNew: true, maxPayloadBytes: 60 })
      )
      const { pending } = yield* outbox.write(create("42", { name: "Ada" }))
      const large = of(pending, original("42", 2, { name: "x".repeat(60) }))
      const rejections = yield* mirror.deliver([original("42", 1), large])
      expect(rejections.map(({ reason }) => reason)).toEqual(["PayloadTooLarge"])
      expect(yield* recordAt(url, "42")).toMatchObject({ pending, skipped: "1" })
      yield* mirror.deliver([large, original("42", 3)])
      expect(yield* recordAt(url, "42")).toEqual({ version: "3", json: '{"_id":"42","version":3}' })
    })
  )

  it.scopedLive("buries a record whose delete is decided, and takes it out of the listings", () =>
    Effect.gen(function* () {
      const { mirror, outbox, url } = yield* withMirror
      yield* mirror.deliver([original("42", 1, { email: "ada@x" })])
      expect(yield* listingsAt(url)).toEqual({ ids: ["42"], emails: ["ada@x\u000042"] })
      const { pending } = yield* outbox.write(remove("42"))
      expect(yield* listingsAt(url)).toEqual({ ids: [], emails: [] })
      yield* mirror.deliver([of(pending, message("42", 2, null))])
      expect(yield* recordAt(url, "42")).toEqual({ tombstone: "2" })
    })
  )

  it.scopedLive("buries a record that shows, listings and all", () =>
    Effect.gen(function* () {
      const { mirror, outbox, url } = yield* withMirror
      const { pending } = yield* outbox.write(create("42", { email: "ada@x" }))
      yield* mirror.deliver([of(pending, original("42", 1, { email: "ada@x" })), message("42", 2, null)])
      expect(yield* recordAt(url, "42")).toEqual({ tombstone: "2" })
      expect(yield* listingsAt(url)).toEqual({ ids: [], emails: [] })
      yield* mirror.deliver([original("42", 3, { email: "again@x" })])
      expect(yield* listingsAt(url)).toEqual({ ids: ["42"], emails: ["again@x\u000042"] })
    })
  )
})
