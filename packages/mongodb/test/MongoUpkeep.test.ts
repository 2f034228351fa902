import { describe, expect, it } from "@effect/vitest"
import { Slot } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { Effect } from "effect"
import { commit, enter, freshProcess, type Process } from "./storeFixture.ts"

const insertUnchecked = ({ database: { db } }: Process, records: ReadonlyArray<{ readonly _id: string }>) =>
  Effect.promise(() =>
    db
      .collection<{ readonly _id: string }>("outbox")
      .insertMany([...records], { bypassDocumentValidation: true })
  )

describe("The upkeep of an outbox", () => {
  it.scopedLive(
    "promotes what it can where another message has the place, and the rest when it is gone",
    () =>
      Effect.gen(function* () {
        const relay = yield* freshProcess()
        const scheduled = MessageFixture.ofKey("customer/1", 3).map((message) => ({
          ...message,
          availableAt: 1_000
        }))
        yield* commit(relay, scheduled)
        const rival = MessageFixture.make({ key: "customer/1", sequence: 1 })
        yield* commit(relay, [rival])
        expect(yield* relay.store.promote(Slot.all)).toBe(2)
        expect(yield* relay.store.promote(Slot.all)).toBe(0)
        yield* relay.store.confirm([rival])
        expect(yield* relay.store.promote(Slot.all)).toBe(1)
        expect(yield* relay.store.stats).toMatchObject({ ready: 3, scheduled: 0 })
      })
  )

  it.scopedLive("finds records that are behind or scheduled in name only, and others of foreign types", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      const { createdAt, id: _, ...message } = MessageFixture.make()
      const record = { ...message, createdAt: new Date(createdAt) }
      const slot = 3
      yield* insertUnchecked(relay, [
        { ...record, _id: "owed to a text", state: "behind", behind: "mirror" } as { _id: string },
        { ...record, _id: "owed to nothing", state: "behind" } as { _id: string },
        { ...record, _id: "scheduled never", state: "scheduled" } as { _id: string },
        { ...record, _id: "scheduled by text", state: "scheduled", availableAt: "soon" } as { _id: string },
        { _id: 17 as unknown as string, slot, state: null } as unknown as { _id: string },
        { _id: "no slot", state: "ready" } as { _id: string }
      ])
      const lease = yield* enter(relay, "relay-a")
      expect((yield* relay.store.beat("relay-a", false)).isDue).toBe(false)
      expect(yield* relay.store.promote(Slot.all)).toBe(0)
      const { corrupt, mended } = yield* relay.store.sweepOrphans(lease)
      const found = corrupt.flatMap((stored) => (stored._tag === "Corrupt" ? [stored] : []))
      expect(mended).toBe(0)
      const issuesOf = new Map(found.map((stored) => [stored.id, stored.issues]))
      expect(issuesOf.get("owed to a text")).toEqual(["behind: invalid"])
      expect(issuesOf.get("owed to nothing")).toEqual(["behind: missing"])
      expect(issuesOf.get("scheduled never")).toEqual(["availableAt: missing"])
      expect(issuesOf.get("scheduled by text")).toEqual(["availableAt: invalid"])
      expect(issuesOf.get("no slot")).toContain("slot: invalid")
      expect(found).toHaveLength(6)
      yield* relay.store.settle(
        lease,
        found.map((stored) => ({
          messageId: stored.id,
          slot: stored.slot,
          behind: [],
          dead: [
            {
              messageId: stored.id,
              slot: stored.slot,
              sink: "*",
              reason: "Corrupt",
              error: stored.issues.join("; "),
              attempts: 0,
              blocks: false,
              history: [],
              at: 0
            }
          ]
        }))
      )
      expect(yield* relay.store.sweepOrphans(lease)).toEqual({ mended: 0, corrupt: [] })
      expect(yield* relay.store.stats).toMatchObject({ ready: 0, behind: 0, scheduled: 0, dead: 6 })
    })
  )

  it.scopedLive("is nobody's business in slots that are no longer the lease's", () =>
    Effect.gen(function* () {
      const relay = yield* freshProcess()
      const { createdAt, id, ...message } = MessageFixture.make()
      const { slot } = message
      yield* insertUnchecked(relay, [
        { _id: "lost", slot, state: "unknown" } as { _id: string },
        { ...message, _id: id, createdAt: new Date(createdAt), state: "behind", behind: [] } as {
          _id: string
        }
      ])
      const old = yield* enter(relay, "relay-a", [slot])
      yield* relay.store.claim("relay-a", [slot])
      expect(yield* relay.store.sweepOrphans(old)).toEqual({ mended: 0, corrupt: [] })
      expect((yield* relay.store.stats).behind).toBe(1)
    })
  )
})
