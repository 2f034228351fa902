import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import * as Delivery from "../src/Delivery.ts"
import { LaneOrder, type StoppedKey } from "../src/LaneOrder.ts"
import type { Message } from "../src/Message.ts"

const delivery = (message: Message) => Delivery.make({ _tag: "Message", message }, 1, 10)
const [a1, a2, a3] = MessageFixture.ofKey("customer/a", 3) as [Message, Message, Message]
const b1 = MessageFixture.make({ key: "customer/b" })

const [a1Gone, a2Gone, a3Gone] = [delivery(a1), delivery(a2), delivery(a3)] as const

const stopped = (slot: number, dueMillis = 100): StoppedKey => ({
  slot,
  dueMillis,
  attempts: 1,
  history: [],
  successes: 0,
  isSlow: false
})

const none: ReadonlySet<number> = new Set()

const order = () => new LaneOrder(({ key }) => key)

describe("the order of a lane", () => {
  it("lets everything flow at first", () => {
    const lane = order()
    expect([lane.flows, lane.wayOf(a1), lane.hasSlot(a1.slot)]).toEqual([true, "flow", false])
  })

  it("lets the messages of a slot that joins wait, and flow in order once it was read to the end", () => {
    const lane = order()
    lane.join([a1.slot])
    expect([lane.wayOf(a1), lane.wayOf(b1)]).toEqual(["wait", "flow"])
    const waiting = [a1, a2].map(delivery)
    waiting.forEach((one) => lane.keep(one))
    expect(lane.waiting).toBe(2)
    expect(lane.flow(lane.settled(none))).toEqual(waiting)
    expect([lane.flows, lane.wayOf(a3)]).toEqual([true, "flow"])
  })

  it("lets nothing flow of a slot that fell behind, or of which a write is under way, or that joined after the read began", () => {
    const lane = order()
    lane.fallBehind([a1.slot])
    expect(lane.wayOf(a1)).toBe("behind")
    lane.leaving(a1Gone)
    expect(lane.flow(lane.settled(none))).toEqual([])
    const tooEarly = lane.settled(none)
    expect(lane.joinAll(none)).toBe(true)
    expect(lane.joinAll(none)).toBe(false)
    lane.flow(tooEarly)
    expect(lane.wayOf(a2)).toBe("wait")
    lane.flow(lane.settled(none))
    expect(lane.wayOf(a2)).toBe("wait")
    lane.left(a1Gone)
    lane.flow(lane.settled(none))
    expect(lane.wayOf(a2)).toBe("flow")
  })

  it("lets nothing flow that has joined again since the read began", () => {
    const lane = order()
    lane.join([a1.slot])
    const settled = lane.settled(none)
    lane.keep(delivery(a1))
    lane.join([a1.slot])
    expect(lane.flow(settled)).toEqual([])
    expect(lane.flow(lane.settled(none))).toHaveLength(1)
  })

  it("sends nothing of a read at or after what began to leave before or during it", () => {
    const lane = order()
    lane.fallBehind([a1.slot])
    lane.leaving(a2Gone)
    lane.beginRead()
    lane.leaving(a3Gone)
    lane.left(a2Gone)
    lane.left(a3Gone)
    expect([a1, a2, a3, b1].map((message) => lane.isWithinRead(message))).toEqual([true, false, false, true])
    lane.beginRead()
    expect([a1, a2, a3, b1].every((message) => lane.isWithinRead(message))).toBe(true)
  })

  it("hands out what waited when its slot falls behind", () => {
    const lane = order()
    lane.join([a1.slot])
    const one = delivery(a1)
    lane.keep(one)
    expect(lane.fallBehind([a1.slot])).toEqual([one])
    expect([lane.waiting, lane.wayOf(a2)]).toEqual([0, "behind"])
  })

  it("lets nothing flow or join of slots about which not enough is known, or that are about to go", () => {
    const lane = order()
    lane.join([a1.slot])
    const away = new Set([a1.slot])
    lane.flow(lane.settled(away))
    expect(lane.wayOf(a1)).toBe("wait")
    lane.fallBehind([a1.slot])
    expect(lane.joinAll(away)).toBe(false)
    lane.flow(lane.settled(none))
    expect(lane.wayOf(a1)).toBe("behind")
  })

  it("lets what waits go on demand, and what comes after it follows", () => {
    const lane = order()
    lane.join([a1.slot, b1.slot])
    const waiting = [a1, a2].map(delivery)
    waiting.forEach((one) => lane.keep(one))
    expect(lane.leaveWaiting(new Set([b1.slot]))).toEqual([])
    expect(lane.leaveWaiting(new Set([a1.slot, b1.slot]))).toEqual(waiting)
    expect([lane.wayOf(a3), lane.wayOf(b1), lane.waiting]).toEqual(["behind", "wait", 0])
  })

  it("stops a key alone, until it is due and through", () => {
    const lane = order()
    expect(lane.stop("customer/a", stopped(a1.slot))).toEqual([])
    expect([lane.wayOf(a2), lane.wayOf(b1)]).toEqual(["behind", "flow"])
    expect([...lane.stoppedKeys(99)]).toEqual(["customer/a"])
    expect([...lane.stoppedKeys(100)]).toEqual([])
    expect([...lane.dueKeys(100)]).toEqual(["customer/a"])
    expect(lane.nextDueMillis).toBe(100)
    lane.joinAll(none)
    expect(lane.wayOf(a2)).toBe("behind")
    lane.goOn("customer/a")
    lane.joinAll(none)
    lane.flow(lane.settled(none))
    expect([lane.flows, lane.stoppedAt("customer/a")]).toEqual([true, undefined])
  })

  it("does not let a slot flow while one of its keys is stopped, or take a key for due whose write is under way", () => {
    const lane = order()
    lane.join([a1.slot])
    lane.stop("customer/a", stopped(a1.slot))
    lane.leaving(a1Gone)
    lane.joinAll(none)
    lane.flow(lane.settled(none))
    expect(lane.flows).toBe(false)
    expect([...lane.dueKeys(1_000)]).toEqual([])
  })

  it("leaves behind what comes of a parked key, also while its slot flows", () => {
    const lane = order()
    lane.park("customer/a", a1.slot)
    expect([lane.wayOf(a2), lane.wayOf(b1), lane.flows]).toEqual(["behind", "flow", true])
    lane.leaving(a2Gone)
    lane.join([a1.slot])
    lane.flow(lane.settled(none))
    expect(lane.flows).toBe(true)
  })

  it("unparks a key when the store no longer shows it, unless the store could not yet have shown it", () => {
    const lane = order()
    lane.park("customer/a", a1.slot)
    const slots = new Set([a1.slot])
    lane.setParked(lane.writtenParked(slots), [])
    expect(lane.wayOf(a2)).toBe("behind")
    lane.parkWritten("customer/a")
    lane.setParked(lane.writtenParked(slots), [["customer/a", a1.slot]])
    expect(lane.wayOf(a2)).toBe("behind")
    lane.setParked(lane.writtenParked(slots), [])
    expect([lane.wayOf(a2), lane.parkedKeys]).toEqual(["flow", 0])
  })

  it("asks for another read of a key that was unparked before the store was known to have it parked", () => {
    const lane = order()
    lane.park("customer/a", a1.slot)
    expect(lane.parkWritten("customer/b")).toBeUndefined()
    lane.setParked(lane.writtenParked(new Set([a1.slot])), [])
    expect(lane.wayOf(a2)).toBe("behind")
    expect(lane.parkWritten("customer/a")).toBe(a1.slot)
    expect(lane.parkWritten("customer/a")).toBeUndefined()
    lane.setParked(lane.writtenParked(new Set([a1.slot])), [])
    expect(lane.wayOf(a2)).toBe("flow")
  })

  it("forgets everything about slots that have gone", () => {
    const lane = order()
    lane.fallBehind([a1.slot])
    lane.stop("customer/a", stopped(a1.slot))
    lane.park("customer/a", a1.slot)
    lane.leaving(a1Gone)
    lane.join([b1.slot])
    lane.drop(new Set([a1.slot]))
    expect([lane.wayOf(a2), lane.wayOf(b1), lane.nextDueMillis]).toEqual(["flow", "wait", undefined])
    expect([...lane.slots]).toEqual([b1.slot])
  })

  it("keeps unordered messages apart by their ids", () => {
    const lane = new LaneOrder(({ id }) => id)
    lane.stop(a1.id, stopped(a1.slot))
    expect([lane.wayOf(a1), lane.wayOf(a2)]).toEqual(["behind", "flow"])
  })
})
