import { describe, expect, it } from "@effect/vitest"
import { AnonymizeKey, Anonymizer } from "@twinbox/anonymize"
import { Either, FastCheck as fc, Redacted } from "effect"
import { type Current, type Fields, nothing, versionOf } from "../src/StoredDocument.ts"
import * as WritePlan from "../src/WritePlan.ts"
import { ada, Customer } from "./testRepository.ts"

const key = Either.getOrThrow(
  AnonymizeKey.make({ version: 3, secret: Redacted.make("9f3c1ad94be2608571c0f2a95d3e8b47") })
)
const anonymizer = Either.getOrThrow(
  Anonymizer.make(Customer, key)
) as unknown as WritePlan.Definition["anonymizer"]

const definition: WritePlan.Definition = {
  collection: "customers",
  stream: "customer",
  anonymizer,
  topic: { name: "customer", schemaVersion: 1 },
  originalTopic: undefined
}

const id = "42"
const now = new Date("2026-03-04T05:06:07.008Z")
const messageIds = { anonymized: "m1", original: "m2" }
const fields: Fields = { ...ada }

const twinOf = (of: Fields, version: number) => ({
  _id: id,
  version,
  ...anonymizer.anonymize(of),
  keyVersion: anonymizer.keyVersion,
  fingerprint: anonymizer.fingerprint
})

const saved = (version: number): Current => ({
  original: { _id: id, version, ...fields },
  twin: twinOf(fields, version),
  tombstone: undefined
})

const planOf = (intent: WritePlan.Intent, current: Current, given = definition) =>
  WritePlan.make(given, { intent, messageIds }, current, now)

const written = (outcome: ReturnType<typeof planOf>): WritePlan.Plan => {
  const planned = Either.getOrThrow(outcome)
  if (planned._tag !== "Write") throw new Error("nothing is written")
  return planned.plan
}

const create = (isNewId = false): WritePlan.Intent => ({ _tag: "Create", id, fields, isNewId })
const change = (next: Fields, expectedVersion?: number): WritePlan.Intent => ({
  _tag: "Change",
  id,
  change: () => Either.right({ fields: next, untouched: {} }),
  expectedVersion
})
const remove = (expectedVersion?: number): WritePlan.Intent => ({ _tag: "Delete", id, expectedVersion })

const version = fc.option(fc.integer({ min: 1, max: 1_000 }), { nil: undefined })
const anyCurrent: fc.Arbitrary<Current> = fc
  .record({ original: fc.boolean(), originalVersion: version, twin: version, tombstone: version })
  .map(({ original, originalVersion, tombstone, twin }) => ({
    original: original
      ? { _id: id, ...fields, ...(originalVersion === undefined ? {} : { version: originalVersion }) }
      : undefined,
    twin: twin === undefined ? undefined : twinOf(fields, twin),
    tombstone: tombstone === undefined ? undefined : { _id: id, version: tombstone, deletedAt: now }
  }))
const anyIntent = fc.constantFrom(create(), change({ ...fields, visits: 1 }), remove())

describe("WritePlan", () => {
  it("makes a first version of a new document", () => {
    const plan = written(planOf(create(true), nothing))
    expect(plan).toMatchObject({
      id,
      version: 1,
      original: { _tag: "Insert", document: { _id: id, version: 1, ...fields } },
      twin: twinOf(fields, 1),
      twinMayExist: false,
      tombstone: undefined
    })
    expect(plan.drafts).toMatchObject([
      { sequence: 1, draft: { id: "m1", topic: "customer", key: "customer/42" } }
    ])
  })

  it("makes a next version of a changed document, and leaves the old one as it was", () => {
    const current = saved(6)
    const next = { ...fields, visits: 1 }
    const plan = written(planOf(change(next), current))
    expect(plan).toMatchObject({
      version: 7,
      original: { _tag: "Replace", document: { _id: id, version: 7, ...next } },
      twin: twinOf(next, 7),
      twinMayExist: true,
      tombstone: undefined
    })
    expect(current).toEqual(saved(6))
  })

  it("makes a tombstone of a deleted document", () => {
    const plan = written(planOf(remove(6), saved(6)))
    expect(plan).toMatchObject({
      version: 7,
      original: { _tag: "Remove" },
      twin: null,
      tombstone: { _id: id, version: 7, deletedAt: now }
    })
    expect(plan.drafts).toMatchObject([{ sequence: 7, draft: { payload: null } }])
  })

  it("gives the topic of originals a message of its own, under the same sequence", () => {
    const originalTopic = { name: "customer-original", schemaVersion: 4 }
    const { drafts } = written(planOf(create(), nothing, { ...definition, originalTopic }))
    expect(drafts.map(({ draft, sequence }) => [draft.id, draft.topic, sequence])).toEqual([
      ["m1", "customer", 1],
      ["m2", "customer-original", 1]
    ])
    expect(drafts[0]?.draft.payload).not.toContain(ada.lastName)
    expect(drafts[1]?.draft.payload).toContain(ada.lastName)
    expect(drafts[1]?.draft.headers).toEqual({ "schema-version": "4" })
  })

  it("publishes the Schema's fields only", () => {
    const intent: WritePlan.Intent = {
      _tag: "Change",
      id,
      change: () => Either.right({ fields, untouched: { theirs: "extra" } }),
      expectedVersion: undefined
    }
    const originalTopic = { name: "customer-original", schemaVersion: 1 }
    const plan = written(planOf(intent, saved(1), { ...definition, originalTopic }))
    expect(plan.original).toMatchObject({ document: { theirs: "extra" } })
    expect(JSON.stringify([plan.twin, plan.drafts])).not.toContain("extra")
  })

  it("writes nothing when nothing changes", () => {
    expect(planOf(change({ ...fields, note: undefined }), saved(6))).toEqual(
      Either.right({ _tag: "Unchanged", document: saved(6).original })
    )
  })

  it("compares an expected version with the one that readers see", () => {
    const { original: _, ...left } = saved(6)
    const foreign: Current = { original: { _id: id, ...fields }, ...left }
    expect(written(planOf(remove(0), foreign)).version).toBe(7)
    expect(planOf(remove(6), foreign)).toMatchObject({
      left: { _tag: "VersionConflict", expected: 6, actual: 0 }
    })
  })

  it("raises the version above all that is stored, and says the same version everywhere", () => {
    fc.assert(
      fc.property(anyCurrent, anyIntent, (current, intent) => {
        const outcome = planOf(intent, current)
        if (intent._tag !== "Create" && current.original === undefined) {
          expect(outcome).toMatchObject({ left: { _tag: "NotFound" } })
          return
        }
        const plan = written(outcome)
        // An original that is there refuses the insert of a create, whatever its version.
        const before = intent._tag === "Create" ? { ...current, original: undefined } : current
        expect(plan.version).toBe(versionOf(before) + 1)
        expect(plan.drafts.map(({ sequence }) => sequence)).toEqual([plan.version])
        if (plan.original._tag === "Insert" || plan.original._tag === "Replace") {
          expect(plan.original.document.version).toBe(plan.version)
          expect(plan.twin?.version).toBe(plan.version)
          expect(plan.tombstone).toBe(current.tombstone === undefined ? undefined : null)
        } else {
          expect([plan.twin, plan.tombstone?.version]).toEqual([null, plan.version])
        }
      })
    )
  })

  it("makes the twin that a whole re-hash would make, whatever was there before", () => {
    const customer = fc
      .record({
        firstName: fc.string({ minLength: 1 }),
        line1: fc.string(),
        note: fc.string(),
        visits: fc.nat()
      })
      .map(({ firstName, line1, note, visits }) => ({
        ...fields,
        firstName,
        note,
        visits,
        address: { line1, city: "Paris" }
      }))
    fc.assert(
      fc.property(customer, customer, fc.boolean(), (before, after, isStale) => {
        const current: Current = {
          original: { _id: id, version: 5, ...before },
          twin: twinOf(isStale ? fields : before, isStale ? 4 : 5),
          tombstone: undefined
        }
        const planned = Either.getOrThrow(planOf(change(after), current))
        if (planned._tag === "Write") expect(planned.plan.twin).toEqual(twinOf(after, 6))
        else expect(after).toEqual(before)
      })
    )
  })
})
