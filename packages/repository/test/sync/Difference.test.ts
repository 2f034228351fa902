import { describe, expect, it } from "@effect/vitest"
import { AnonymizeKey, Anonymizer } from "@twinbox/anonymize"
import { Either, FastCheck as fc, Redacted } from "effect"
import { Decimal128, Long, ObjectId } from "mongodb"
import * as DocumentCodec from "../../src/DocumentCodec.ts"
import {
  type Current,
  type Fields,
  nothing,
  type StoredDocument,
  versionOf
} from "../../src/StoredDocument.ts"
import * as Difference from "../../src/sync/Difference.ts"
import * as WritePlan from "../../src/WritePlan.ts"
import { ada, Customer, personal } from "../testRepository.ts"

const key = Either.getOrThrow(
  AnonymizeKey.make({ version: 3, secret: Redacted.make("9f3c1ad94be2608571c0f2a95d3e8b47") })
)
const anonymizer = Either.getOrThrow(
  Anonymizer.make(Customer, key)
) as unknown as WritePlan.Definition["anonymizer"]
const codec = DocumentCodec.make(Customer, "customers")
const rules: Difference.Rules = { stream: "customer", anonymizer, check: codec.decode }

const original = (version: unknown, more: object = {}) =>
  ({ _id: "42", version, ...ada, ...more }) as StoredDocument
const twin = (version: unknown, more: object = {}) =>
  ({
    _id: "42",
    version,
    ...anonymizer.anonymize(ada as unknown as Fields),
    keyVersion: 3,
    fingerprint: anonymizer.fingerprint,
    ...more
  }) as StoredDocument
const tombstone = (version: number) => ({ _id: "42", version, deletedAt: new Date(0) })
const stored = (parts: Partial<Current>): Current => ({ ...nothing, ...parts })

const kindOf = (parts: Partial<Current>, id: unknown = "42") => Difference.of(rules, id, stored(parts))._tag

const definition: WritePlan.Definition = {
  collection: "customers",
  stream: "customer",
  anonymizer,
  topic: { name: "customer", schemaVersion: 1 },
  originalTopic: { name: "customer-original", schemaVersion: 1 }
}

const fieldsOf = (document: StoredDocument) =>
  Either.flatMap(codec.decode(document), ({ _id, version, ...value }) => codec.encode(value, _id))

const plan = (current: Current, above?: number) =>
  WritePlan.make(
    definition,
    {
      intent: { _tag: "Sync", id: "42", rules, fieldsOf, above },
      messageIds: { anonymized: "m-1", original: "m-2" }
    },
    current,
    new Date(5)
  )

/** What is stored after a plan was carried out. */
const after = (current: Current, planned: WritePlan.Planned): Current => {
  if (planned._tag === "Unchanged") return current
  const { original, tombstone, twin, version } = planned.plan
  return {
    original: original._tag === "SetVersion" ? { ...current.original!, version } : undefined,
    twin: twin ?? undefined,
    tombstone: tombstone ?? undefined
  }
}

describe("An original and its twin", () => {
  it("are in step when the twin is what becomes of the original, by the same version, key and rules", () => {
    expect(kindOf({ original: original(4), twin: twin(4) })).toBe("InStep")
    expect(kindOf({ original: original(4, { foreign: { deep: [1] } }), twin: twin(4) })).toBe("InStep")
    expect(kindOf({})).toBe("InStep")
    expect(kindOf({ tombstone: tombstone(3) })).toBe("InStep")
  })

  it.each([
    ["Unversioned", { original: original(undefined), twin: twin(4) }],
    ["Unversioned", { original: original("4"), twin: twin(4) }],
    ["Unversioned", { original: original(-1), twin: twin(4) }],
    ["Unversioned", { original: original(4.5) }],
    ["Unversioned", { original: original(Long.MAX_VALUE) }],
    ["Unversioned", { original: original(Decimal128.fromString("4")) }],
    ["Missing", { original: original(4) }],
    ["Missing", { original: original(4), tombstone: tombstone(7) }],
    ["Stale", { original: original(4), twin: twin(3) }],
    ["Stale", { original: original(4), twin: twin(5) }],
    ["Stale", { original: original(4), twin: twin("4") }],
    ["Stale", { original: original(4), twin: twin(4), tombstone: tombstone(7) }],
    ["Stale", { original: original(4), twin: twin(4), tombstone: tombstone(2) }],
    ["Outdated", { original: original(4), twin: twin(4, { keyVersion: 2 }) }],
    ["Outdated", { original: original(4), twin: twin(4, { keyVersion: "3" }) }],
    ["Outdated", { original: original(4), twin: twin(4, { fingerprint: "0123456789abcdef" }) }],
    ["Altered", { original: original(4, { lastName: "Byron" }), twin: twin(4) }],
    ["Altered", { original: original(4, { visits: 9 }), twin: twin(4) }],
    ["Altered", { original: original(4), twin: twin(4, { lastName: ada.lastName }) }],
    ["Altered", { original: original(4), twin: twin(4, { phone: "123" }) }],
    ["Extra", { twin: twin(4) }],
    ["Extra", { twin: twin(undefined), tombstone: tombstone(9) }]
  ] as const)("%s: %o", (kind, parts) => {
    expect(kindOf(parts)).toBe(kind)
  })

  it("an altered twin is told by the names of its fields", () => {
    const found = Difference.of(
      rules,
      "42",
      stored({ original: original(4, { visits: 9 }), twin: twin(4, { phone: "123", lastName: "x" }) })
    )
    expect(found).toEqual({ _tag: "Altered", fields: ["lastName", "visits", "phone"] })
  })
})

describe("An original that does not fit the Schema", () => {
  it.each([
    ["firstName", { firstName: undefined }],
    ["firstName", { firstName: "" }],
    ["lastName", { lastName: 7 }],
    ["address", { address: null }],
    ["address", { address: "12 Hiddenstreet" }],
    ["address.line1", { address: { city: "London" } }],
    ["visits", { visits: "12" }],
    ["visits", { visits: Long.MAX_VALUE }],
    ["createdAt", { createdAt: "2026-01-02" }],
    ["email", { email: ["ada.secret@example.org"] }]
  ] as const)("is told by its path: %s", (path, wrong) => {
    const document = Object.fromEntries(
      Object.entries({ ...original(4), ...wrong }).filter(([, value]) => value !== undefined)
    ) as StoredDocument
    const found = Difference.of(rules, "42", stored({ original: document, twin: twin(4) }))
    expect(found).toMatchObject({ _tag: "Unfit", issues: [{ path }] })
    for (const value of personal) expect(JSON.stringify(found)).not.toContain(value)
  })

  it.each([[new ObjectId()], [42], [null], [{ a: 1 }], [""], ["a\nb"], ["x".repeat(600)]])(
    "so is one with an id that is none: %o",
    (id) => {
      expect(Difference.of(rules, id, stored({ original: original(4) }))).toMatchObject({
        _tag: "Unfit",
        issues: [{ path: "_id" }]
      })
    }
  )

  it("so is one whose version has no next one", () => {
    const last = { original: original(Number.MAX_SAFE_INTEGER) }
    expect(Difference.of(rules, "42", stored(last))).toMatchObject({
      _tag: "Unfit",
      issues: [{ path: "version" }]
    })
  })

  it("keeps the twin it had, and gets none", () => {
    const refused = plan(stored({ original: original(4, { address: null }), twin: twin(3) }))
    expect(Either.isLeft(refused) && refused.left._tag).toBe("InvalidDocument")
  })
})

/** Whatever may be stored of an id: of each part its own, that of another time, a foreign one, or none. */
const anyVersion = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constantFrom(undefined, "5", 0, -3, 2.5))
const anyOriginal = fc.option(
  fc.record({
    version: anyVersion,
    lastName: fc.constantFrom("Lovelacy", "Byron"),
    visits: fc.constantFrom(0, 5),
    extra: fc.option(fc.string(), { nil: undefined })
  }),
  { nil: undefined }
)
const anyTwin = fc.option(
  fc.record({
    version: anyVersion,
    lastName: fc.constantFrom(undefined, "Byron", "Abcd1234"),
    keyVersion: fc.constantFrom(3, 2, undefined),
    fingerprint: fc.constantFrom(anonymizer.fingerprint, "other")
  }),
  { nil: undefined }
)
const anyCurrent: fc.Arbitrary<Current> = fc
  .record({ o: anyOriginal, t: anyTwin, b: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }) })
  .map(({ b, o, t }) => ({
    original: o === undefined ? undefined : original(o.version, o),
    twin:
      t === undefined
        ? undefined
        : twin(t.version, {
            keyVersion: t.keyVersion,
            fingerprint: t.fingerprint,
            ...(t.lastName === undefined ? {} : { lastName: t.lastName })
          }),
    tombstone: b === undefined ? undefined : tombstone(b)
  }))

describe("A sync", () => {
  it("leaves what is in step, and makes everything else so, under a version that is new", () => {
    fc.assert(
      fc.property(anyCurrent, (current) => {
        const planned = Either.getOrThrow(plan(current))
        const isInStep = Difference.of(rules, "42", current)._tag === "InStep"
        expect(planned._tag).toBe(isInStep ? "Unchanged" : "Write")
        const next = after(current, planned)
        expect(Difference.of(rules, "42", next)._tag).toBe("InStep")
        expect(Either.getOrThrow(plan(next))._tag).toBe("Unchanged")
        if (planned._tag !== "Write") return
        expect(planned.plan.version).toBe(versionOf(current) + 1)
        expect(planned.plan.drafts.map(({ sequence }) => sequence)).toEqual([
          planned.plan.version,
          planned.plan.version
        ])
        // Of the original nothing is touched but its version.
        expect({ ...next.original, version: 0 }).toEqual({ ...current.original, version: 0 })
      })
    )
  })

  it("publishes the twin to one topic, and what the Schema knows of the original to the other", () => {
    const planned = Either.getOrThrow(plan(stored({ original: original(undefined, { iban: "DE12" }) })))
    if (planned._tag !== "Write") throw new Error("nothing planned")
    const [anonymized, published] = planned.plan.drafts.map(({ draft }) => String(draft.payload))
    for (const value of [...personal, "DE12"]) expect(anonymized).not.toContain(value)
    for (const value of personal) expect(published).toContain(value)
    expect(published).not.toContain("DE12")
  })

  it("tells that a customer without original is gone, and removes no original", () => {
    const planned = Either.getOrThrow(plan(stored({ twin: twin(4) })))
    expect(planned).toMatchObject({
      plan: {
        version: 5,
        original: { _tag: "None" },
        twin: null,
        tombstone: { _id: "42", version: 5, deletedAt: new Date(5) },
        drafts: [{ draft: { payload: null } }, { draft: { payload: null } }]
      }
    })
  })

  it("goes above a version that a mirror shows, even where all is in step", () => {
    const current = stored({ original: original(4), twin: twin(4) })
    expect(Either.getOrThrow(plan(current, 9))).toMatchObject({ plan: { version: 10 } })
    expect(Either.getOrThrow(plan(current, 2))).toMatchObject({ plan: { version: 5 } })
    expect(Either.getOrThrow(plan(nothing, 9))).toMatchObject({ plan: { version: 10, twin: null } })
  })
})
