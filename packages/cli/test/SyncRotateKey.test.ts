import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Sync from "./SyncCliWorld.ts"

const newSecret = "5b0c4e6a17f2939f1c5a7be03d42688d"
const renewed = { ANONYMIZE_SECRET: newSecret, ANONYMIZE_KEY_VERSION: "2" }

describe("twinbox rotate-key", () => {
  it.scopedLive("makes all twins anew, tells what is left, and retires the key before", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(6)
      const rotate = (...words: ReadonlyArray<string>) => world.runWith(renewed, "rotate-key", ...words)
      const [odd = ""] = world.ids
      yield* Effect.promise(() => world.originals.updateOne({ _id: odd }, { $set: { city: 7 } }))

      // Only the rotation itself brings a new key in: a mistyped version stops nobody's sync.
      for (const words of [["rotate-key", "--status"], ["verify", "--no-mirrors"], ["reindex"]]) {
        const unknown = yield* world.runWith(renewed, ...words)
        expect(unknown).toMatchObject({ code: 1, stdout: "" })
        expect(unknown.stderr).toContain("this database knows key version 1 and no 2: look at")
      }
      const before = yield* world.run("rotate-key", "--status")
      expect(before).toMatchObject({ code: 0, stderr: "" })
      expect(before.stdout).toBe("VERSION  STATE   TWINS\n      1  active      6\n")

      const halfDone = yield* rotate()
      expect(halfDone).toMatchObject({ code: 1 })
      expect(halfDone.stdout).toMatch(/^6 documents compared: 0 in step, 5 put right, 1 /)
      expect(halfDone.stdout).toContain(`${odd}  unfit`)
      expect(halfDone.stderr).toMatch(/twinbox: 1 twin of earlier keys left\n$/)
      const refused = yield* rotate("--retire", "1", "--yes")
      expect(refused).toMatchObject({ code: 1, stdout: "" })
      expect(refused.stderr).toContain(
        "key version 1 is still in use: twins of 'customers' under it or an earlier one: 1;"
      )

      yield* Effect.promise(() => world.originals.updateOne({ _id: odd }, { $set: { city: "Paris" } }))
      const ended = yield* rotate("--json")
      expect(ended).toMatchObject({ code: 0, stderr: "" })
      expect(JSON.parse(ended.stdout)).toEqual({
        keyVersion: 2,
        run: 2,
        examined: 6,
        outdated: 1,
        left: 0,
        differences: [],
        more: 0
      })
      const retired = yield* rotate("--retire=1", "--yes")
      expect(retired).toEqual({
        code: 0,
        stdout: "key version 1 is retired: 'customers' takes no twins of it any more\n",
        stderr: ""
      })
      expect(JSON.parse((yield* rotate("--status", "--json")).stdout)).toEqual({
        collection: "customers",
        keyVersion: 2,
        keys: [
          { version: 2, state: "active", twins: 6 },
          { version: 1, state: "retired", twins: 0 }
        ],
        unknown: 0
      })
      const late = yield* world.run("rotate-key")
      expect(late).toMatchObject({ code: 1, stdout: "" })
      expect(late.stderr).toBe(
        "twinbox: key version 1 is retired for 'customers': give this instance the newest ANONYMIZE_SECRET and ANONYMIZE_KEY_VERSION\n"
      )
      for (const one of [before, halfDone, refused, ended, retired, late]) {
        Sync.expectDiscreet(one, world)
        expect(one.stdout + one.stderr).not.toContain(newSecret)
      }
    })
  )

  it.scopedLive("retires nothing without consent, nor the newest key, nor one that nobody knows", () =>
    Effect.gen(function* () {
      const world = yield* Sync.make(1)
      const before = yield* world.everything
      const codeAndText = (...words: ReadonlyArray<string>) =>
        Effect.map(world.run("rotate-key", ...words), ({ code, stderr }) => [code, stderr])
      expect(yield* codeAndText("--retire", "1")).toEqual([
        2,
        "twinbox: this asks before it starts, and there is no terminal to ask on: add --yes to go ahead\n"
      ])
      expect(yield* codeAndText("--retire", "1", "--yes")).toEqual([
        1,
        "twinbox: key version 1 is the newest and cannot be retired: twins are made under it\n"
      ])
      expect(yield* codeAndText("--retire", "7", "--yes")).toEqual([
        1,
        "twinbox: there is no key version 7\n"
      ])
      expect(yield* codeAndText("--retire", "1", "--status")).toEqual([
        2,
        "twinbox: --status and --retire cannot be given together\n"
      ])
      expect((yield* codeAndText("--retire", "0", "--yes"))[0]).toBe(2)
      expect((yield* codeAndText("--retire"))[0]).toBe(2)
      expect(yield* world.everything).toEqual(before)
    })
  )
})
