import { expect } from "@effect/vitest"
import { Anonymize } from "@twinbox/anonymize"
import { TwinRepository, TwinTopic } from "@twinbox/repository"
import { Cause, Effect, Exit, Schema } from "effect"
import { keyOf, newId, suite } from "./testRepository.ts"

const otherSecret = "5b0c4e6a17f2939f1c5a7be03d42688d"

const Text = Schema.String.pipe(Anonymize.pseudonym)

const Member = Schema.Struct({
  name: Text,
  email: Schema.String.pipe(Anonymize.email),
  nickname: Schema.optional(Schema.NullOr(Text)),
  city: Schema.String.pipe(Anonymize.keep),
  password: Schema.String.pipe(Anonymize.redact),
  joined: Schema.Date.pipe(Anonymize.pseudonym),
  address: Schema.Struct({ line1: Text, secret: Schema.String.pipe(Anonymize.redact) }),
  tags: Schema.Array(Text),
  contacts: Schema.Array(Schema.Struct({ name: Text })),
  marks: Schema.Record({ key: Schema.String, value: Text }).pipe(Anonymize.keepKeys)
})

const topic = TwinTopic.anonymized("member", Member)

const makeMembers = (settings: Partial<Pick<TwinRepository.Options<never>, "previousKeys">> = {}) =>
  Effect.flatMap(keyOf(2, otherSecret), (key) =>
    TwinRepository.make({ schema: Member, collection: "members", topic, key, ...settings })
  )

const ada: typeof Member.Type = {
  name: "Ada",
  email: "ada@example.org",
  nickname: null,
  city: "London",
  password: "123",
  joined: new Date("2026-01-02T03:04:05.678Z"),
  address: { line1: "12 Main St", secret: "none" },
  tags: ["first", "second"],
  contacts: [{ name: "Bob" }, { name: "Cid" }],
  marks: { a: "x" }
}

suite("Twins, by values of their originals", (it) => {
  it.scoped("are found by fields of every kind, alone and together", () =>
    Effect.gen(function* () {
      const { create, twins } = yield* makeMembers()
      const { _id } = yield* create(ada)
      yield* create({
        ...ada,
        name: "Eve",
        nickname: "E",
        email: "eve@example.org",
        joined: new Date(0),
        tags: [],
        contacts: [{ name: "Dan" }],
        address: { ...ada.address, line1: "9 Side St" }
      })
      const idsOf = (found: ReadonlyArray<{ readonly _id: string }>) => found.map((twin) => twin._id)
      const { findByOriginal } = twins
      expect(idsOf(yield* findByOriginal({ name: "Ada" }))).toEqual([_id])
      expect(idsOf(yield* findByOriginal({ email: "ada@example.org" }))).toEqual([_id])
      expect(idsOf(yield* findByOriginal({ joined: "2026-01-02T03:04:05.678Z" }))).toEqual([_id])
      expect(idsOf(yield* findByOriginal({ "address.line1": "12 Main St" }))).toEqual([_id])
      expect(idsOf(yield* findByOriginal({ tags: "second" }))).toEqual([_id])
      expect(idsOf(yield* findByOriginal({ "contacts.name": "Cid" }))).toEqual([_id])
      expect(idsOf(yield* findByOriginal({ nickname: null }))).toEqual([_id])
      expect(yield* findByOriginal({ city: "London" })).toHaveLength(2)
      expect(yield* findByOriginal({ city: "London" }, { limit: 1 })).toHaveLength(1)
      expect(idsOf(yield* findByOriginal({ city: "London", name: "Ada" }))).toEqual([_id])
      expect(yield* findByOriginal({ city: "London", name: "Eve", tags: "first" })).toEqual([])
      expect(yield* findByOriginal({ name: "ada" })).toEqual([])
    })
  )

  it.scoped("are found under each key by all values together", () =>
    Effect.gen(function* () {
      const old = yield* TwinRepository.make({
        schema: Member,
        collection: "members",
        topic,
        key: yield* keyOf(1)
      })
      const both = yield* makeMembers({ previousKeys: [yield* keyOf(1)] })
      const [line1, name] = [newId(), newId()]
      const older = yield* old.create({ ...ada, name, address: { ...ada.address, line1 } })
      const newer = yield* both.create({ ...ada, name, address: { ...ada.address, line1: "elsewhere" } })
      const ids = (found: ReadonlyArray<{ readonly _id: string }>) => found.map(({ _id }) => _id).toSorted()
      expect(ids(yield* both.twins.findByOriginal({ name }))).toEqual([newer._id, older._id].toSorted())
      expect(ids(yield* both.twins.findByOriginal({ name, city: "London" }, { sort: { _id: 1 } }))).toEqual(
        [newer._id, older._id].toSorted()
      )
      expect(ids(yield* both.twins.findByOriginal({ name, "address.line1": line1 }))).toEqual([older._id])
    })
  )

  it.scoped("are not looked up by what twins do not show, or by nothing", () =>
    Effect.gen(function* () {
      const { twins } = yield* makeMembers()
      const issueOf = (values: object) =>
        Effect.map(Effect.flip(twins.findByOriginal(values as never)), (error) => {
          expect(error).toMatchObject({ _tag: "NotSearchable", collection: "members", retryable: false })
          expect(error.message).not.toContain("SECRET")
          return "issue" in error ? error.issue : undefined
        })
      expect(yield* issueOf({ password: "SECRET" })).toEqual({ path: "password", problem: "is redacted" })
      expect(yield* issueOf({ "address.secret": "SECRET" })).toMatchObject({ problem: "is redacted" })
      expect(yield* issueOf({ phone: "SECRET" })).toMatchObject({ problem: "is not a field of the Schema" })
      expect(yield* issueOf({ "marks.*": "SECRET" })).toMatchObject({
        problem: "is not a field of the Schema"
      })
      expect(yield* issueOf({ $where: "SECRET" })).toMatchObject({ problem: "is not a field of the Schema" })
      expect(yield* issueOf({ city: { $ne: "SECRET" } })).toMatchObject({ problem: "has the wrong type" })
      expect(yield* issueOf({ name: { $ne: "SECRET" } })).toMatchObject({ problem: "has the wrong type" })
      expect(yield* issueOf({ name: undefined })).toMatchObject({ problem: "has no value" })
      expect(yield* issueOf({})).toEqual({ path: "", problem: "has no field" })
    })
  )

  it.scoped("are typed by the Schema", () =>
    Effect.gen(function* () {
      const { twins } = yield* makeMembers()
      type Values = Parameters<typeof twins.findByOriginal>[0]
      const accepted: Values = { "contacts.name": "Bob", nickname: null, joined: "2026", tags: "first" }
      // @ts-expect-error a redacted field
      const redacted: Values = { password: "123" }
      // @ts-expect-error a redacted field inside another one
      const inside: Values = { "address.secret": "123" }
      // @ts-expect-error not a value of this field
      const wrong: Values = { name: 5 }
      // @ts-expect-error no field
      const unknown: Values = { phone: "5" }
      // @ts-expect-error a field of fields
      const structure: Values = { address: { line1: "12 Main St" } }
      const exits = yield* Effect.forEach([accepted, redacted, inside, wrong, unknown, structure], (values) =>
        Effect.exit(twins.findByOriginal(values))
      )
      expect(exits.map(Exit.isSuccess)).toEqual([true, false, false, true, false, false])
    })
  )

  it.scoped("are looked up with keys that make a ring, and are those that the database knows", () =>
    Effect.gen(function* () {
      const twice = yield* Effect.exit(makeMembers({ previousKeys: [yield* keyOf(3)] }))
      expect(Cause.isDie(Exit.isFailure(twice) ? twice.cause : Cause.empty)).toBe(true)
      yield* TwinRepository.make({ schema: Member, collection: "members", topic, key: yield* keyOf(1) })
      const wrong = yield* keyOf(1, "0123456789abcdeffedcba98765432a7")
      expect(yield* Effect.flip(makeMembers({ previousKeys: [wrong] }))).toMatchObject({
        _tag: "KeyMismatch",
        keyVersion: 1
      })
    })
  )
})
