import { expect } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { ada, collection, makeCustomers, newId, stored, suite, writeForeign } from "./testRepository.ts"

suite("TwinRepository.patch", (it) => {
  it.scoped("merges into what is stored: sets, goes into objects, takes away, reads dates as text", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      const patched = yield* customers.patch(_id, {
        nickname: null,
        note: "new",
        address: { city: "Paris" },
        createdAt: "2027-01-01T00:00:00.000Z"
      })
      const { nickname, ...rest } = ada
      const expected = {
        ...rest,
        note: "new",
        address: { ...ada.address, city: "Paris" },
        createdAt: new Date("2027-01-01T00:00:00.000Z"),
        _id,
        version: 2
      }
      expect(patched).toEqual(expected)
      const { original, twin } = yield* stored(_id)
      expect(original).toEqual(expected)
      expect(twin).toMatchObject({ version: 2, note: "new", address: { city: "Paris" } })
      expect(twin).not.toHaveProperty("nickname")
    })
  )

  it.scoped("leaves what other programs added, and writes nothing when nothing changes", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      const originals = yield* collection("customers")
      yield* Effect.promise(() => originals.updateOne({ _id }, { $set: { foreign: 1 } }))
      yield* customers.patch(_id, { visits: 1 })
      expect((yield* stored(_id)).original).toMatchObject({ visits: 1, foreign: 1, version: 2 })
      expect(yield* customers.patch(_id, { visits: 1 })).toMatchObject({ version: 2 })
      expect((yield* stored(_id)).messages).toHaveLength(2)
    })
  )

  it.scoped("refuses what does not fit the Schema, naming paths and no values, and writes nothing", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      const cases: ReadonlyArray<[unknown, ReadonlyArray<string>]> = [
        [{ visits: "Hiddenvalue" }, ["visits"]],
        [{ firstName: null, address: { line1: null } }, ["firstName", "address.line1"]],
        [{ createdAt: "Hiddenvalue" }, ["createdAt"]],
        [{ _id: "Hiddenvalue", version: 7 }, ["_id", "version"]],
        [{ Extra: "Hiddenvalue" }, ["Extra"]],
        ["Hiddenvalue", [""]],
        [null, [""]],
        [["Hiddenvalue"], [""]]
      ]
      for (const [patch, paths] of cases) {
        const error = yield* Effect.flip(customers.patch(_id, patch))
        expect(error).toMatchObject({ _tag: "InvalidDocument", stored: false, id: _id })
        const issues = error._tag === "InvalidDocument" ? error.issues : []
        expect(issues.map(({ path }) => path).toSorted()).toEqual(paths.toSorted())
        expect(JSON.stringify(error) + String(error)).not.toContain("Hiddenvalue")
      }
      expect((yield* stored(_id)).messages).toHaveLength(1)
    })
  )

  it.scoped("minds the expected version, and finds nothing where nothing is", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      expect(yield* Effect.flip(customers.patch(_id, { visits: 1 }, 7))).toMatchObject({
        _tag: "VersionConflict",
        actual: 1
      })
      expect(yield* customers.patch(_id, { visits: 1 }, 1)).toMatchObject({ visits: 1 })
      expect(yield* Effect.flip(customers.patch(newId(), {}))).toMatchObject({ _tag: "NotFound" })
    })
  )
})

suite("TwinRepository.version", (it) => {
  it.scoped("is that of the document, of its tombstone, or 0", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const _id = newId()
      const versions: Array<number> = []
      const note = Effect.map(customers.version(_id), (version) => void versions.push(version))
      yield* note
      yield* Effect.zipRight(customers.create({ ...ada, _id }), note)
      yield* Effect.zipRight(customers.update(_id, { visits: 1 }), note)
      yield* Effect.zipRight(customers.delete(_id), note)
      yield* Effect.zipRight(customers.create({ ...ada, _id }), note)
      expect(versions).toEqual([0, 1, 2, 3, 4])
    })
  )

  it.scoped("never falls while the document is deleted and made again", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      const again = Effect.suspend(() =>
        Effect.zipRight(customers.delete(_id), customers.create({ ...ada, _id }))
      )
      const churning = yield* Effect.fork(Effect.repeatN(again, 60))
      const versions: Array<number> = []
      while (churning.unsafePoll() === null) versions.push(yield* customers.version(_id))
      yield* Fiber.join(churning)
      expect(versions.length).toBeGreaterThan(60)
      expect(versions).toEqual(versions.toSorted((a, b) => a - b))
      expect(versions[0]).toBeGreaterThan(0)
    })
  )

  it.scoped("counts the twin of an original that another program has put in its place", () =>
    Effect.gen(function* () {
      const customers = yield* makeCustomers()
      const { _id } = yield* customers.create(ada)
      yield* writeForeign({ ...ada, _id })
      expect(yield* customers.version(_id)).toBe(1)
    })
  )
})
