import { describe, expect, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import * as World from "./CliWorld.ts"

// Each command is a process: a busy machine takes seconds to start one.
vi.setConfig({ testTimeout: 180_000 })

const { document, outbox, text } = World

/** Three letters of the mirror, two of them of one key, and one of kafka that blocks nothing. */
const fourDead = [
  { id: "a", key: "customer/1", sink: "mirror" },
  { id: "b", key: "customer/1", sink: "mirror", sequence: 2 },
  { id: "c", key: "customer/2", sink: "kafka", fields: { blocks: false, reason: "TooLarge", attempts: 10 } },
  { id: "d", key: "customer/3", sink: "mirror" }
]

describe("twinbox status", () => {
  it.scopedLive("counts messages, sinks and relays, for people and as JSON", () =>
    Effect.gen(function* () {
      const { append, die, leaveBehind, run, store } = yield* outbox
      yield* store.registerSinks([
        { name: "kafka", topics: ["customer-anonymised"], isMirror: false },
        { name: "mirror", topics: ["customer-anonymised"], isMirror: true }
      ])
      yield* die(fourDead)
      yield* leaveBehind(yield* append([{ key: "customer/1", sequence: 3 }]), "mirror")
      yield* append([
        { key: "customer/7" },
        { key: "customer/8" },
        { key: "customer/9", availableAt: 4_102_444_800_000 }
      ])
      const lines = text(yield* run("status")).split("\n")
      expect(lines[0]).toMatch(/^READY +BEHIND +SCHEDULED +DEAD +DELIVERED +OLDEST$/)
      expect(lines[1]).toMatch(/^ +2 +1 +1 +4 +0 +\d+d$/)
      expect(lines.filter((line) => /^(mirror|kafka) /.test(line))).toEqual([
        expect.stringMatching(/^kafka +0 +1 +0 +-$/),
        expect.stringMatching(/^mirror +1 +3 +2 +\d+d$/)
      ])
      expect(lines.find((line) => line.startsWith("relay-a"))).toMatch(/^relay-a +256 +5s +running$/)
      expect(lines).toContain("0 free slots, 0 suspect slots")
      const createdAt = "2026-01-01T00:00:00.000Z"
      expect(document(yield* run("status", "--json"))).toEqual({
        ready: 2,
        behind: 1,
        scheduled: 1,
        dead: 4,
        delivered: 0,
        oldestCreatedAt: createdAt,
        freeSlots: 0,
        suspectSlots: 0,
        relays: [{ owner: "relay-a", slots: 256, leaseMillis: 5000, leaving: false }],
        sinks: [
          { name: "kafka", isRegistered: true, behind: 0, dead: 1, blockedKeys: 0, oldestCreatedAt: null },
          {
            name: "mirror",
            isRegistered: true,
            behind: 1,
            dead: 3,
            blockedKeys: 2,
            oldestCreatedAt: createdAt
          }
        ]
      })
    })
  )

  it.scopedLive("says so when no relay runs and no sink is known", () =>
    Effect.gen(function* () {
      const { run, store } = yield* outbox
      yield* store.leave("relay-a")
      const told = text(yield* run("status"))
      expect(told).toContain("no relay runs")
      expect(told).toContain("no sinks")
      expect(told).toContain("256 free slots")
    })
  )
})

describe("twinbox dead", () => {
  it.scopedLive("lists where each letter belongs and what went wrong, and nothing of its payload", () =>
    Effect.gen(function* () {
      const { die, run } = yield* outbox
      yield* die(fourDead)
      const told = text(yield* run("dead", "--sink", "mirror", "--key=customer/1"))
      const [titles, ...lines] = told.trimEnd().split("\n")
      expect(titles).toMatch(/^ID +SINK +KEY +TOPIC +SEQUENCE +REASON +ATTEMPTS +BLOCKS +AGE +ERROR$/)
      expect(lines).toEqual([
        expect.stringMatching(
          /^a +mirror +customer\/1 +customer-anonymised +1 +Rejected +3 +yes +\d+[smhd] +the sink refused it$/
        ),
        expect.stringMatching(/^b +mirror +customer\/1 +customer-anonymised +2 +Rejected /)
      ])
      const json = yield* run("dead", "--reason", "TooLarge", "--json")
      expect(document(json)).toEqual({
        deadLetters: [
          {
            messageId: "c",
            sink: "kafka",
            key: "customer/2",
            topic: "customer-anonymised",
            sequence: 1,
            slot: expect.any(Number),
            reason: "TooLarge",
            error: "the sink refused it",
            attempts: 10,
            blocks: false,
            at: "2026-11-01T00:02:00.000Z",
            history: [{ at: "2026-10-31T23:59:00.000Z", reason: "Rejected", error: "refused before" }]
          }
        ],
        next: null
      })
      expect(told + json.stdout).not.toContain(World.secret)
    })
  )

  it.scopedLive("goes on from page to page, oldest first, and shows all when told to", () =>
    Effect.gen(function* () {
      const { die, run } = yield* outbox
      yield* die(fourDead)
      const idsOf = (page: unknown) =>
        (page as { deadLetters: ReadonlyArray<{ messageId: string }> }).deadLetters.map(
          ({ messageId }) => messageId
        )
      const first = document(yield* run("dead", "--limit", "3", "--json"))
      const { next } = first as { readonly next: string }
      expect(idsOf(first)).toEqual(["a", "b", "c"])
      const second = document(yield* run("dead", "--limit", "3", "--after", next, "--json"))
      expect([idsOf(second), second]).toEqual([["d"], expect.objectContaining({ next: null })])
      expect(idsOf(document(yield* run("dead", "--limit", "1", "--all", "--json")))).toEqual([
        "a",
        "b",
        "c",
        "d"
      ])
      expect(text(yield* run("dead", "--limit", "3"))).toContain(`add --after ${next}`)
    })
  )

  it.scopedLive("takes only what died in the time that is meant", () =>
    Effect.gen(function* () {
      const { die, run } = yield* outbox
      yield* die(fourDead)
      const told = text(yield* run("dead", "--since", "2026-11-01T00:01", "--before", "2026-11-01T00:03"))
      expect(told.split("\n").map((line) => line.slice(0, 1))).toEqual(["I", "b", "c", ""])
    })
  )

  it.scopedLive("refuses a token that no page ended with", () =>
    Effect.gen(function* () {
      const { run } = yield* outbox
      expect(yield* run("dead", "--after", "zzz")).toMatchObject({
        code: 2,
        stdout: "",
        stderr: expect.stringMatching(/--after/)
      })
    })
  )
})

describe("twinbox blocked", () => {
  it.scopedLive("lists blocked keys with what waits behind them, the longest blocked first", () =>
    Effect.gen(function* () {
      const { append, die, leaveBehind, run } = yield* outbox
      yield* die(fourDead)
      yield* leaveBehind(yield* append([{ key: "customer/1", sequence: 3 }]), "mirror")
      const lines = text(yield* run("blocked"))
        .trimEnd()
        .split("\n")
      expect(lines).toEqual([
        expect.stringMatching(/^SINK +KEY +DEAD LETTERS +WAITING +BLOCKED FOR$/),
        expect.stringMatching(/^mirror +customer\/1 +2 +1 +\d+[smhd]$/),
        expect.stringMatching(/^mirror +customer\/3 +1 +0 +\d+[smhd]$/)
      ])
      expect(document(yield* run("blocked", "--limit", "1", "--sink", "mirror", "--json"))).toEqual({
        blocked: [
          { sink: "mirror", key: "customer/1", deadLetters: 2, waiting: 1, since: "2026-11-01T00:00:00.000Z" }
        ]
      })
      expect(text(yield* run("blocked", "--sink", "kafka"))).toBe("no key is blocked\n")
    })
  )
})

describe("twinbox sinks", () => {
  it.scopedLive("lists the sinks that the outbox knows", () =>
    Effect.gen(function* () {
      const { run, store } = yield* outbox
      expect(text(yield* run("sinks"))).toContain("no sinks")
      yield* store.registerSinks([{ name: "mirror", topics: ["a", "b"], isMirror: true }])
      expect(text(yield* run("sinks"))).toMatch(/^SINK +MIRROR +TOPICS\nmirror +yes +a, b\n$/)
      expect(document(yield* run("sinks", "--json"))).toEqual({
        sinks: [{ name: "mirror", isMirror: true, topics: ["a", "b"] }]
      })
    })
  )
})
