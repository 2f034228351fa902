import { describe, expect, it } from "@effect/vitest"
import type { Message } from "@twinbox/outbox"
import { MessageFixture } from "@twinbox/testkit"
import { judge } from "./Verdict.ts"

const messages = [
  ["a1", "customer/a", 1],
  ["b1", "customer/b", 1],
  ["a2", "customer/a", 2],
  ["a3", "customer/a", 3]
].map(([id, key, sequence]) =>
  MessageFixture.make({ id, key, sequence } as Parameters<typeof MessageFixture.make>[0])
)

const byId = (list: ReadonlyArray<Message.Message>) => new Map(list.map((message) => [message.id, message]))

/** A run in which all went well. */
const sound = {
  committed: byId(messages),
  log: messages,
  versions: new Map([
    ["customer/a", 3],
    ["customer/b", 1]
  ]),
  findings: { originals: 2, twins: 2, mirrored: 2, outbox: 0, dead: 0, differences: [] },
  incidents: []
}

const [a1, b1, a2, a3] = messages as [Message.Message, Message.Message, Message.Message, Message.Message]

describe("Verdict", () => {
  it("has nothing against a sound run, nor against duplicates, which it counts", () => {
    expect(judge(sound).violations).toEqual([])
    const verdict = judge({ ...sound, log: [a1, b1, a2, a1, a2, a3] })
    expect(verdict.violations).toEqual([])
    expect(verdict.delivery.duplicates).toBe(2)
  })

  it("finds an entry dropped from the log", () => {
    expect(judge({ ...sound, log: [a1, b1, a3] }).violations).toEqual(["1 lost: a2"])
  })

  it("finds two entries of a key that changed places", () => {
    expect(judge({ ...sound, log: [b1, a2, a1, a3] }).violations).toEqual([
      "1 out of order: a1 after a2 of customer/a"
    ])
  })

  it("finds what never committed, and what is not as it was", () => {
    const ghost = { ...a1, id: "ghost", sequence: 4 }
    expect(judge({ ...sound, log: [...messages, ghost] }).violations).toEqual([
      "1 delivered though never committed: ghost"
    ])
    expect(judge({ ...sound, log: [a1, b1, a2, { ...a3, payload: "other" }] }).violations).toEqual([
      "1 altered on the way: a3"
    ])
  })

  it("finds a record whose version has no message, and messages of a record that is not there", () => {
    const committed = byId([a1, b1, a3])
    expect(judge({ ...sound, committed, log: [a1, b1, a3] }).violations).toEqual([
      "1 records and messages that do not fit: customer/a has version 3 and messages of 2 versions"
    ])
    expect(judge({ ...sound, versions: new Map([["customer/a", 3]]) }).violations).toEqual([
      "1 records and messages that do not fit: customer/b has version 0 and messages of 1 versions"
    ])
  })

  it("finds differences, what is left over, and passes on what was seen on the way", () => {
    const findings = { ...sound.findings, mirrored: 1, outbox: 3, dead: 1, differences: ["b: not mirrored"] }
    expect(judge({ ...sound, findings, incidents: ["the mirror lied"] }).violations).toEqual([
      "1 differences of originals, twins and mirror: b: not mirrored",
      "3 counts that should be others: mirrored: 1, not 2; outbox: 3, not 0; dead: 1, not 0",
      "the mirror lied"
    ])
  })
})
