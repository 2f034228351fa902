import { describe, expect } from "@effect/vitest"
import { Cause, Effect, Fiber, Option, Schema } from "effect"
import {
  ada,
  collection,
  makeCustomers,
  messagesOf,
  newId,
  nothing,
  originalTopic,
  personal,
  stored,
  suite,
  topic,
  writeForeign
} from "./testRepository.ts"

const megabytes = (count: number) => "x".repeat(count * 1024 * 1024)
const pseudonym = expect.stringMatching(/^[0-9A-Za-z]{8}$/)

/** Puts values into a stored twin that only a re-hash would change. */
const mark = (id: string, marks: Record<string, unknown>) =>
  Effect.flatMap(collection("customers_anonymised"), (twins) =>
    Effect.promise(() => twins.updateOne({ _id: id }, { $set: marks }))
  )

suite("TwinRepository", (it) => {
  describe("create", () => {
    it.scoped("saves the original, its twin and one message", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const saved = yield* customers.create(ada)
        expect(saved).toEqual({ ...ada, _id: saved._id, version: 1 })
        const { messages, original, tombstone, twin } = yield* stored(saved._id)
        expect(original).toEqual({ _id: saved._id, version: 1, ...ada })
        const anonymous = {
          ...ada,
          firstName: pseudonym,
          lastName: pseudonym,
          nickname: pseudonym,
          email: expect.stringMatching(/^[0-9A-Za-z]{8}@example\.org$/),
          address: { line1: pseudonym, city: "London" }
        }
        expect(twin).toEqual({
          _id: saved._id,
          version: 1,
          ...anonymous,
          keyVersion: 1,
          fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/)
        })
        expect(tombstone).toBeNull()
        const { fingerprint, keyVersion, ...published } = twin ?? { fingerprint: 0, keyVersion: 0 }
        expect(messages).toEqual([
          {
            topic: "customer",
            sequence: 1,
            ordinal: 0,
            payload: { ...published, createdAt: ada.createdAt.toISOString() }
          }
        ])
      })
    )

    it.scoped("publishes what the topic's Schema reads, dates too, and no personal value", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        const outbox = yield* collection("outbox")
        const record = yield* Effect.promise(() => outbox.findOne({ key: `customer/${_id}` }))
        for (const value of personal) expect(JSON.stringify(record)).not.toContain(value)
        const read = yield* Schema.decodeUnknown(Schema.parseJson(topic.schema))(record?.["payload"])
        expect(read.createdAt).toEqual(ada.createdAt)
        const twin = yield* customers.twins.get(_id)
        expect(Option.getOrThrow(twin)).toEqual(read)
      })
    )

    it.scoped("takes an id that the caller chose, and refuses it once it is taken", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const _id = newId()
        expect(yield* customers.create({ ...ada, _id })).toEqual({ ...ada, _id, version: 1 })
        const before = yield* stored(_id)
        const error = yield* Effect.flip(customers.create({ ...ada, _id }))
        expect(error).toMatchObject({ _tag: "DuplicateKey", collection: "customers", fields: ["_id"] })
        expect(yield* stored(_id)).toEqual(before)
      })
    )

    it.scoped.each([
      ["empty text", ""],
      ["NUL", "a\u0000b"],
      ["a line break", "line\nbreak"],
      ["half a surrogate pair", "\ud800"],
      ["600 characters", "x".repeat(600)],
      ["a number", 42],
      ["null", null]
    ] as const)("refuses %s as an id", ([, id]) =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const _id = id as string
        const error = yield* Effect.flip(customers.create({ ...ada, _id }))
        expect(error).toMatchObject({ _tag: "InvalidDocument", stored: false, issues: [{ path: "_id" }] })
        expect(yield* stored(_id)).toEqual(nothing)
      })
    )

    it.scoped.each(["0", "a/b", "ä €", "$where", "__proto__", "a.b"])("takes the id %j", (_id) =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        expect((yield* customers.create({ ...ada, _id })).version).toBe(1)
        expect((yield* customers.update(_id, { visits: 1 })).version).toBe(2)
        expect(Option.getOrThrow(yield* customers.get(_id))).toMatchObject({ _id, version: 2 })
        expect(yield* messagesOf(_id)).toHaveLength(2)
      })
    )

    it.scoped("takes an id of 512 characters", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const _id = newId().padEnd(512, "x")
        expect((yield* customers.create({ ...ada, _id })).version).toBe(1)
      })
    )

    it.scoped("refuses an invalid document with the paths of all its faults, and shows no value", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const _id = newId()
        const bad = { ...ada, _id, firstName: "", address: { line1: 7 }, visits: 0.5, password: "hunter2" }
        const error = yield* Effect.flip(customers.create(bad as never))
        expect(error).toMatchObject({ _tag: "InvalidDocument", id: _id, stored: false, retryable: false })
        const paths = error._tag === "InvalidDocument" ? error.issues.map(({ path }) => path) : []
        expect(paths.toSorted()).toEqual(["address.city", "address.line1", "firstName", "password", "visits"])
        const shown = String(error) + error.message + JSON.stringify(error)
        for (const value of [...personal, "hunter2", "0.5"]) expect(shown).not.toContain(value)
        expect(yield* stored(_id)).toEqual(nothing)
      })
    )

    it.scoped("refuses a document over 16 MB, or one whose message would be, and writes nothing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        for (const document of [
          { ...ada, _id: newId(), lastName: megabytes(17) },
          { ...ada, _id: newId(), note: megabytes(9).replaceAll("x", '"') }
        ]) {
          const error = yield* Effect.flip(customers.create(document))
          expect(error._tag).toBe("TransactionTooLarge")
          expect(yield* stored(document._id)).toEqual(nothing)
        }
      })
    )
  })

  describe("createMany", () => {
    it.scoped("saves all in one transaction, in the order given", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const ids = Array.from({ length: 300 }, newId)
        const saved = yield* customers.createMany(ids.map((_id, visits) => ({ ...ada, _id, visits })))
        expect(saved.map(({ _id, version, visits }) => [_id, version, visits])).toEqual(
          ids.map((_id, visits) => [_id, 1, visits])
        )
        const last = yield* stored(ids.at(-1) ?? "")
        expect(last.twin?.version).toBe(1)
        expect(last.messages).toHaveLength(1)
        expect(yield* customers.createMany([])).toEqual([])
      })
    )

    it.scoped("saves none when one id is taken or comes twice", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const taken = yield* customers.create(ada)
        const [first, last] = [newId(), newId()]
        for (const middle of [taken._id, first]) {
          const inputs = [first, middle, last].map((_id) => ({ ...ada, _id }))
          expect((yield* Effect.flip(customers.createMany(inputs)))._tag).toBe("DuplicateKey")
        }
        expect(yield* stored(first)).toEqual(nothing)
        expect(yield* stored(last)).toEqual(nothing)
        expect((yield* stored(taken._id)).messages).toHaveLength(1)
      })
    )

    it.scoped("saves none when one document is invalid, and says which", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const first = newId()
        const error = yield* Effect.flip(
          customers.createMany([
            { ...ada, _id: first },
            { ...ada, firstName: "" }
          ])
        )
        expect(error).toMatchObject({ _tag: "InvalidDocument", issues: [{ path: "1.firstName" }] })
        expect(yield* stored(first)).toEqual(nothing)
      })
    )

    it.scoped("refuses more than one transaction should carry, and splits nothing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const originals = yield* collection("customers")
        const count = Effect.promise(() => originals.countDocuments())
        const before = yield* count
        const heavy = { ...ada, lastName: megabytes(14) }
        for (const inputs of [
          Array.from({ length: 50_001 }, () => ada),
          Array.from({ length: 5 }, () => heavy)
        ]) {
          expect((yield* Effect.flip(customers.createMany(inputs)))._tag).toBe("TransactionTooLarge")
        }
        expect(yield* count).toBe(before)
      })
    )
  })

  describe("update", () => {
    it.scoped("changes some fields of original, twin and message by a patch", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        const before = yield* stored(_id)
        const updated = yield* customers.update(_id, { firstName: "Bea", visits: 1 })
        expect(updated).toEqual({ ...ada, firstName: "Bea", visits: 1, _id, version: 2 })
        const { messages, original, twin } = yield* stored(_id)
        expect(original).toEqual({ ...updated })
        expect(twin).toEqual({ ...before.twin, version: 2, visits: 1, firstName: pseudonym })
        expect(twin?.["firstName"]).not.toBe(before.twin?.["firstName"])
        expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2])
        expect(messages[1]?.payload).toMatchObject({ version: 2, firstName: twin?.["firstName"] })
      })
    )

    it.scoped("gives a patch function what is stored", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create({ ...ada, visits: 41 })
        const updated = yield* customers.update(_id, (current) => ({ visits: current.visits + 1 }))
        expect(updated).toMatchObject({ visits: 42, version: 2 })
      })
    )

    it.scoped("dies of a patch function that throws, and writes nothing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        const bug = new Error("a bug")
        const cause = yield* Effect.flip(
          Effect.sandbox(
            customers.update(_id, () => {
              throw bug
            })
          )
        )
        expect(Cause.squash(cause)).toBe(bug)
        expect((yield* stored(_id)).messages).toHaveLength(1)
      })
    )

    it.scoped("hashes only what changed again", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* mark(_id, { lastName: "MARKED01", "address.line1": "MARKED02", email: "MARKED03@example.org" })
        yield* customers.update(_id, { firstName: "Bea" })
        expect((yield* stored(_id)).twin).toMatchObject({
          lastName: "MARKED01",
          address: { line1: "MARKED02" },
          email: "MARKED03@example.org"
        })
        yield* customers.update(_id, { address: { ...ada.address, line1: "elsewhere" } })
        const { twin } = yield* stored(_id)
        expect(twin).toMatchObject({ lastName: "MARKED01", address: { line1: pseudonym, city: "London" } })
        expect(twin?.["address"]).not.toMatchObject({ line1: "MARKED02" })
      })
    )

    it.scoped.each([
      ["another key version", { keyVersion: 7 }],
      ["another fingerprint", { fingerprint: "0000000000000000" }],
      ["an older version", { version: 1 }]
    ] as const)("hashes everything again when the twin has %s", ([, fault]) =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* customers.update(_id, { visits: 1 })
        const good = (yield* stored(_id)).twin
        yield* mark(_id, { lastName: "MARKED01", ...fault })
        yield* customers.update(_id, { visits: 2 })
        expect((yield* stored(_id)).twin).toEqual({ ...good, version: 3, visits: 2 })
      })
    )

    it.scoped("makes a twin that is missing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        const good = (yield* stored(_id)).twin
        const twins = yield* collection("customers_anonymised")
        yield* Effect.promise(() => twins.deleteOne({ _id }))
        yield* customers.update(_id, { visits: 2 })
        expect((yield* stored(_id)).twin).toEqual({ ...good, version: 2, visits: 2 })
      })
    )

    it.scoped("writes nothing when the patch changes nothing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { nickname: _, ...anonymous } = ada
        const saved = yield* customers.create(anonymous)
        const before = yield* stored(saved._id)
        for (const patch of [
          {},
          { firstName: ada.firstName, createdAt: new Date(ada.createdAt), address: { ...ada.address } },
          { nickname: undefined }
        ]) {
          expect(yield* customers.update(saved._id, patch)).toEqual(saved)
        }
        expect(yield* customers.replace(saved._id, anonymous)).toEqual(saved)
        expect(yield* stored(saved._id)).toEqual(before)
      })
    )

    it.scoped("writes when nothing changes but the twin is not up to date", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        const good = (yield* stored(_id)).twin
        yield* mark(_id, { lastName: "MARKED01", keyVersion: 7 })
        expect((yield* customers.update(_id, {})).version).toBe(2)
        expect((yield* stored(_id)).twin).toEqual({ ...good, version: 2 })
      })
    )

    it.scoped("removes an optional field that the patch sets to undefined", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        expect(yield* customers.update(_id, { nickname: undefined })).not.toHaveProperty(
          "nickname",
          "Countesse"
        )
        const { original, twin } = yield* stored(_id)
        expect(original).not.toHaveProperty("nickname")
        expect(twin).not.toHaveProperty("nickname")
      })
    )

    it.scoped("refuses a stale version, and writes nothing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* customers.update(_id, { visits: 1 }, 1)
        const before = yield* stored(_id)
        const conflict = { _tag: "VersionConflict", id: _id, expected: 1, actual: 2, retryable: false }
        expect(yield* Effect.flip(customers.update(_id, { visits: 2 }, 1))).toMatchObject(conflict)
        expect(yield* Effect.flip(customers.replace(_id, ada, 1))).toMatchObject(conflict)
        expect(yield* Effect.flip(customers.delete(_id, 1))).toMatchObject(conflict)
        expect(yield* stored(_id)).toEqual(before)
      })
    )

    it.scoped("refuses an invalid outcome, and writes nothing", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        const patches = [{ firstName: "" }, { unknown: "hunter2" } as never, { lastName: megabytes(17) }]
        const errors = yield* Effect.forEach(patches, (patch) => Effect.flip(customers.update(_id, patch)))
        expect(errors).toMatchObject([
          { _tag: "InvalidDocument", id: _id, stored: false, issues: [{ path: "firstName" }] },
          { _tag: "InvalidDocument", id: _id, stored: false, issues: [{ path: "unknown" }] },
          { _tag: "TransactionTooLarge" }
        ])
        expect(JSON.stringify(errors)).not.toContain("hunter2")
        expect((yield* stored(_id)).messages).toHaveLength(1)
      })
    )

    it.scoped("finds nothing to change or delete under an unknown id", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const id = newId()
        const missing = { _tag: "NotFound", collection: "customers", id, retryable: false }
        expect(yield* Effect.flip(customers.update(id, { visits: 1 }))).toMatchObject(missing)
        expect(yield* Effect.flip(customers.replace(id, ada))).toMatchObject(missing)
        expect(yield* Effect.flip(customers.delete(id))).toMatchObject(missing)
        expect(yield* Effect.flip(customers.update("", { visits: 1 }))).toMatchObject({ _tag: "NotFound" })
        expect(yield* stored(id)).toEqual(nothing)
      })
    )
  })

  it.scoped("replace puts other fields in the place of all that is there", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create({ ...ada, note: "to go" })
      const { nickname: _, ...next } = { ...ada, lastName: "Byron" }
      expect(yield* customers.replace(_id, next, 1)).toEqual({ ...next, _id, version: 2 })
      const { messages, original, twin } = yield* stored(_id)
      expect(original).toEqual({ ...next, _id, version: 2 })
      expect(twin).not.toHaveProperty("note")
      expect(twin).not.toHaveProperty("nickname")
      expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2])
      const error = yield* Effect.flip(customers.replace(_id, { ...next, firstName: "" }))
      expect(error).toMatchObject({ _tag: "InvalidDocument", id: _id, issues: [{ path: "firstName" }] })
    })
  )

  describe("delete", () => {
    it.scoped("leaves a tombstone with the next version, and a message without payload", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* customers.delete(_id, 1)
        const { messages, original, tombstone, twin } = yield* stored(_id)
        expect([original, twin]).toEqual([null, null])
        expect(tombstone).toEqual({ _id, version: 2, deletedAt: expect.any(Date) })
        expect(messages[1]).toEqual({ topic: "customer", sequence: 2, ordinal: 0, payload: null })
        expect(yield* customers.get(_id)).toEqual(Option.none())
        expect((yield* Effect.flip(customers.delete(_id)))._tag).toBe("NotFound")
      })
    )

    it.scoped("lets a later create go on from its version, again and again", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const _id = newId()
        for (const version of [1, 3, 5]) {
          expect((yield* customers.create({ ...ada, _id })).version).toBe(version)
          expect((yield* stored(_id)).tombstone).toBeNull()
          yield* customers.delete(_id)
        }
        const { messages, tombstone } = yield* stored(_id)
        expect(tombstone?.version).toBe(6)
        expect(messages.map(({ payload, sequence }) => [sequence, payload === null])).toEqual([
          [1, false],
          [2, true],
          [3, false],
          [4, true],
          [5, false],
          [6, true]
        ])
      })
    )
  })

  describe("what foreign programs wrote", () => {
    it.scoped("an original without a version gets one, and a twin", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const _id = newId()
        yield* writeForeign({ _id, ...ada })
        expect(Option.getOrThrow(yield* customers.get(_id))).toEqual({ ...ada, _id, version: 0 })
        expect((yield* customers.update(_id, { visits: 1 }, 0)).version).toBe(1)
        const { messages, original, twin } = yield* stored(_id)
        expect([original?.version, twin?.version]).toEqual([1, 1])
        expect(messages.map(({ sequence }) => sequence)).toEqual([1])
      })
    )

    it.scoped("an original that lost its version goes on from its twin's", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* customers.update(_id, { visits: 1 })
        yield* writeForeign({ _id, ...ada, lastName: "Byron" })
        const read = Option.getOrThrow(yield* customers.get(_id))
        expect(read.version).toBe(0)
        const updated = yield* customers.update(_id, { visits: 5 }, read.version)
        expect(updated).toMatchObject({ version: 3, lastName: "Byron" })
        const { messages, twin } = yield* stored(_id)
        const fresh = yield* customers.create({ ...ada, lastName: "Byron" })
        expect(twin?.["lastName"]).toBe((yield* stored(fresh._id)).twin?.["lastName"])
        expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2, 3])
      })
    )

    it.scoped.each([
      ["no version", {}],
      ["an older version, from a backup", { version: 1 }],
      ["a version that is none", { version: "two" as never }]
    ] as const)("an original put back after its delete with %s goes on from the tombstone", ([, version]) =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* customers.update(_id, { visits: 1 })
        yield* customers.delete(_id)
        yield* writeForeign({ _id, ...ada, ...version })
        expect((yield* customers.update(_id, { visits: 2 })).version).toBe(4)
        const { messages, tombstone } = yield* stored(_id)
        expect(tombstone).toBeNull()
        expect(messages.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4])
        yield* writeForeign({ _id, ...ada, ...version })
        yield* customers.delete(_id)
        expect((yield* stored(_id)).tombstone?.version).toBe(5)
      })
    )

    it.scoped("an original deleted without its twin: a later create goes on from the twin", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers()
        const { _id } = yield* customers.create(ada)
        yield* customers.update(_id, { visits: 1 })
        const originals = yield* collection("customers")
        yield* Effect.promise(() => originals.deleteOne({ _id }))
        expect((yield* Effect.flip(customers.update(_id, { visits: 2 })))._tag).toBe("NotFound")
        expect((yield* customers.create({ ...ada, _id, lastName: "Byron" })).version).toBe(3)
        const { original, twin } = yield* stored(_id)
        expect([original?.version, twin?.version]).toEqual([3, 3])
      })
    )

    it.scoped("fields of theirs survive an update, at any depth, and are never published", () =>
      Effect.gen(function* () {
        const customers = yield* makeCustomers({ originalTopic })
        const _id = newId()
        const extras = { geo: { lat: 51.5 }, keyVersion: "theirs" }
        const address = { ...ada.address, floor: "extra-floor" }
        yield* writeForeign({ _id, ...ada, ...extras, address })
        yield* customers.update(_id, { visits: 1 })
        yield* customers.update(_id, { lastName: "Byron" })
        const { messages, original, twin } = yield* stored(_id)
        expect(original).toEqual({
          ...ada,
          _id,
          version: 2,
          visits: 1,
          lastName: "Byron",
          ...extras,
          address
        })
        expect(messages).toHaveLength(4)
        for (const text of ["geo", "floor", "theirs"]) {
          expect(JSON.stringify({ messages, twin })).not.toContain(text)
        }
        yield* customers.update(_id, { address: { line1: "elsewhere", city: "Paris" } })
        expect((yield* stored(_id)).original?.["address"]).toEqual({ line1: "elsewhere", city: "Paris" })
        yield* customers.replace(_id, ada)
        expect((yield* stored(_id)).original).toEqual({ ...ada, _id, version: 4 })
      })
    )

    it.scoped(
      "a document that does not fit the Schema is reported without its values, and can be replaced",
      () =>
        Effect.gen(function* () {
          const customers = yield* makeCustomers()
          const _id = newId()
          const { lastName: _, ...unfit } = { ...ada, firstName: 4711, address: "Hiddenstreet" }
          yield* writeForeign({ _id, ...unfit })
          const errors = yield* Effect.all([
            Effect.flip(customers.get(_id)),
            Effect.flip(customers.find({ _id })),
            Effect.flip(customers.update(_id, { visits: 1 }))
          ])
          for (const error of errors) {
            expect(error).toMatchObject({ _tag: "InvalidDocument", id: _id, stored: true })
            const paths = error._tag === "InvalidDocument" ? error.issues.map(({ path }) => path) : []
            expect(paths.toSorted()).toEqual(["address", "firstName", "lastName"])
            const shown = JSON.stringify(error) + String(error)
            for (const value of [...personal, "4711", "Hiddenstreet"]) expect(shown).not.toContain(value)
          }
          expect((yield* stored(_id)).messages).toEqual([])
          expect((yield* customers.replace(_id, ada)).version).toBe(1)
        })
    )
  })

  it.scoped("publishes originals too, in a second message, when it has a topic for them", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers({ originalTopic })
      const { _id } = yield* customers.create(ada)
      yield* customers.delete(_id)
      const messages = yield* messagesOf(_id)
      expect(messages.map(({ ordinal, sequence, topic }) => [topic, sequence, ordinal])).toEqual([
        ["customer", 1, 0],
        ["customer-original", 1, 1],
        ["customer", 2, 0],
        ["customer-original", 2, 1]
      ])
      const read = yield* Schema.decodeUnknown(originalTopic.schema)(messages[1]?.payload)
      expect(read).toEqual({ ...ada, _id, version: 1 })
      expect(messages[3]?.payload).toBeNull()
      expect(JSON.stringify(messages[0])).not.toContain(ada.lastName)
    })
  )

  it.scoped("an interrupted create leaves all or nothing", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      for (let step = 0; step < 20; step++) {
        const _id = newId()
        const fiber = yield* Effect.fork(customers.create({ ...ada, _id }))
        yield* Effect.sleep(`${step * 300} micros`)
        yield* Fiber.interrupt(fiber)
        const { messages, original, twin } = yield* stored(_id)
        expect([twin !== null, messages.length === 1]).toEqual([original !== null, original !== null])
      }
    })
  )
})
