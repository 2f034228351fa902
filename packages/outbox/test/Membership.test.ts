import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import * as Membership from "../src/Membership.ts"
import type { Member, SlotState } from "../src/OutboxStore.ts"
import * as Slot from "../src/Slot.ts"

const member = (owner: string, counter = 1): Member => ({
  owner,
  counter,
  leaseMillis: 1_000,
  leaving: false
})

const slotsOwnedBy = (ownerOf: (slot: number) => string | undefined): ReadonlyArray<SlotState> =>
  Slot.all.map((slot) => ({ slot, owner: ownerOf(slot), epoch: 1, suspect: false, changes: 0 }))

const none: ReadonlySet<number> = new Set()

/** Lets every member act in turn on one picture of the slots until nobody wants anything; returns who has which. */
const settle = (owners: ReadonlyArray<string>, start: (slot: number) => string | undefined) => {
  const ownerOf = new Map(Slot.all.map((slot) => [slot, start(slot)]))
  const members = owners.map((owner) => member(owner))
  let moves = 0
  for (let isChanging = true; isChanging;) {
    isChanging = false
    for (const owner of owners) {
      const held = new Set([...ownerOf].filter(([, by]) => by === owner).map(([slot]) => slot))
      const view = { members, slots: slotsOwnedBy((slot) => ownerOf.get(slot)) }
      const { claim, release } = Membership.plan(view, owner, held, none)
      for (const slot of claim) ownerOf.set(slot, owner)
      for (const slot of release) ownerOf.set(slot, undefined)
      moves += claim.length + release.length
      isChanging ||= claim.length + release.length > 0
    }
  }
  const counts = owners.map((owner) => [...ownerOf.values()].filter((by) => by === owner).length)
  return { counts, moves, free: [...ownerOf.values()].filter((by) => by === undefined).length }
}

describe("a fair share of the slots", () => {
  it("differs by one at most, and leaves none over", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.integer({ min: 1, max: 300 }), (members) => {
        const shares = Array.from({ length: members }, (_, rank) =>
          Membership.shareOf(rank, members, Slot.count)
        )
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(Slot.count)
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
      })
    )
  })

  it("is what every member comes to, from any distribution, moving no slot twice", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.integer({ min: 1, max: 12 }),
        FastCheck.array(FastCheck.nat({ max: 13 }), { minLength: Slot.count, maxLength: Slot.count }),
        (count, start) => {
          const owners = Array.from({ length: count }, (_, at) => `relay-${at}`)
          const { counts, free, moves } = settle(owners, (slot) => owners[start[slot] ?? 0])
          expect(free).toBe(0)
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
          expect(moves).toBeLessThanOrEqual(2 * Slot.count)
        }
      ),
      { numRuns: 50 }
    )
  })

  it("moves no more slots than it must when one joins", () => {
    const { counts, moves } = settle(["a", "b", "c"], (slot) => (slot % 2 === 0 ? "a" : "b"))
    expect(counts).toEqual([86, 85, 85])
    expect(moves).toBe(2 * 85)
  })
})

describe("what a relay takes", () => {
  it("are free slots and those of owners that are no members, never those of a member", () => {
    const slots = slotsOwnedBy((slot) => (slot < 100 ? "living" : slot < 200 ? "dead" : undefined))
    const view = { members: [member("living"), member("me")], slots }
    const { claim, release } = Membership.plan(view, "me", none, none)
    expect(claim).toHaveLength(128)
    expect(claim.every((slot) => slot >= 100)).toBe(true)
    expect(release).toEqual([])
  })

  it("are its own slots again when the reply to its claim was lost, but not those it is giving back", () => {
    const view = { members: [member("me")], slots: slotsOwnedBy(() => "me") }
    expect(Membership.plan(view, "me", none, none).claim).toHaveLength(Slot.count)
    expect(Membership.plan(view, "me", none, new Set(Slot.all)).claim).toEqual([])
  })

  it("are given up when they are more than its share and it works on none of them", () => {
    const view = { members: [member("me"), member("other")], slots: slotsOwnedBy(() => "me") }
    const { claim, disown, release } = Membership.plan(view, "me", none, none)
    expect([claim.length, disown.length, release.length]).toEqual([128, 128, 0])
    expect(new Set([...claim, ...disown.map(({ slot }) => slot)]).size).toBe(Slot.count)
  })

  it("is nothing when it is no member itself", () => {
    const view = { members: [member("other")], slots: slotsOwnedBy(() => undefined) }
    expect(Membership.plan(view, "me", none, none)).toEqual({ claim: [], release: [], disown: [] })
  })

  it("is all of what a leaving member leaves", () => {
    const members = [member("me"), { ...member("other"), leaving: true }]
    const view = { members, slots: slotsOwnedBy(() => undefined) }
    expect(Membership.plan(view, "me", none, none).claim).toHaveLength(Slot.count)
  })

  it("differs between two that claim at once", () => {
    const view = { members: [member("a"), member("b")], slots: slotsOwnedBy(() => undefined) }
    const [a, b] = ["a", "b"].map((owner) => Membership.plan(view, owner, none, none).claim)
    expect(new Set([...(a ?? []), ...(b ?? [])]).size).toBe(Slot.count)
  })
})

describe("silence", () => {
  it("begins when a counter stands still for longer than its owner's lease, as this relay sees it", () => {
    const silence = new Membership.Silence()
    expect(silence.observe([member("a", 7)], 50_000)).toEqual([])
    expect(silence.observe([member("a", 7)], 51_000)).toEqual([])
    expect(silence.observe([member("a", 7)], 51_101)).toEqual([member("a", 7)])
  })

  it("ends with any change of the counter, also to a smaller number", () => {
    const silence = new Membership.Silence()
    silence.observe([member("a", 7)], 0)
    silence.observe([member("a", 8)], 1_000)
    expect(silence.observe([member("a", 8)], 2_000)).toEqual([])
    silence.observe([member("a", 1)], 2_050)
    expect(silence.observe([member("a", 1)], 3_100)).toEqual([])
  })

  it("is counted from the first sight of a member, however long it has been there", () => {
    const silence = new Membership.Silence()
    silence.observe([member("a")], 0)
    expect(silence.observe([member("b")], 5_000)).toEqual([])
    expect(silence.observe([member("a"), member("b")], 5_500)).toEqual([])
  })
})
