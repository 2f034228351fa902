import { describe, expect, it } from "@effect/vitest"
import { MessageFixture } from "@twinbox/testkit"
import { Effect, Logger, LogLevel } from "effect"
import {
  anotherProcess,
  behind,
  commandsOf,
  commit,
  enter,
  freshProcess,
  letter,
  namesOf
} from "./storeFixture.ts"

/** A process whose commands are counted, and 600 messages in its outbox. */
const prepare = (options: { readonly keepDelivered?: number } = {}) =>
  Effect.gen(function* () {
    const { database } = yield* freshProcess()
    const counted = yield* anotherProcess(database, options)
    const messages = MessageFixture.ofKey("customer/1", 600)
    yield* commit(counted, messages)
    const lease = yield* enter(counted, "relay-a")
    const names = <A, E>(effect: Effect.Effect<A, E>) => Effect.map(commandsOf(counted, effect), namesOf)
    return { ...counted, lease, messages, names }
  })

const quiet = Logger.withMinimumLogLevel(LogLevel.Warning)

describe("The commands of a relay", () => {
  it.scopedLive("are two for a heartbeat, whatever it finds", () =>
    quiet(
      Effect.gen(function* () {
        const { names, store } = yield* prepare()
        yield* Effect.forEach(
          Array.from({ length: 150 }, (_, at) => `relay-${at}`),
          (owner) => store.join(owner, 5_000)
        )
        expect(yield* names(store.beat("relay-a", false))).toBe("update aggregate")
        expect((yield* store.beat("relay-a", false)).members).toHaveLength(151)
      })
    )
  )

  it.scopedLive(
    "are one write for a batch that every sink has, and two where delivered messages are kept",
    () =>
      quiet(
        Effect.gen(function* () {
          const { messages, names, store } = yield* prepare()
          expect(yield* names(store.confirm(messages))).toBe("delete")
          const keeping = yield* prepare({ keepDelivered: 60_000 })
          expect(yield* keeping.names(keeping.store.confirm(keeping.messages))).toBe("aggregate delete")
        })
      )
  )

  it.scopedLive("are four for a batch left behind, however many messages and slots it has", () =>
    quiet(
      Effect.gen(function* () {
        const { lease, messages, names, store } = yield* prepare()
        const [first, ...rest] = messages
        if (first === undefined) return
        const owed = rest.map((message) => behind(message, "mirror"))
        expect(yield* names(store.settle(lease, owed))).toBe("update find update commitTransaction")
        const dead = { ...behind(first, "kafka"), dead: [letter(first, "mirror")] }
        expect(yield* names(store.settle(lease, [dead]))).toBe(
          "update find find update update commitTransaction"
        )
      })
    )
  )

  it.scopedLive("are four for a batch that one sink owed, and eight if some of it dies", () =>
    quiet(
      Effect.gen(function* () {
        const { lease, messages, names, store } = yield* prepare()
        yield* store.settle(
          lease,
          messages.map((message) => behind(message, "mirror"))
        )
        const confirmed = messages.slice(0, 500)
        const dead = messages.slice(500, 550).map((message) => letter(message, "mirror"))
        expect(yield* names(store.mark(lease, "mirror", messages, 1))).toBe(
          "update find update commitTransaction"
        )
        expect(yield* names(store.settleBehind(lease, "mirror", { confirmed, dead: [] }))).toBe(
          "update find delete commitTransaction"
        )
        expect(
          yield* names(store.settleBehind(lease, "mirror", { confirmed: messages.slice(550), dead }))
        ).toBe("update find find update delete update delete commitTransaction")
        expect(yield* store.stats).toMatchObject({ ready: 0, behind: 0, dead: 50 })
      })
    )
  )

  it.scopedLive("are six for a batch that several sinks owed", () =>
    quiet(
      Effect.gen(function* () {
        const { lease, messages, names, store } = yield* prepare()
        yield* store.settle(
          lease,
          messages.map((message) => behind(message, "mirror", "log"))
        )
        const outcome = { confirmed: messages.slice(0, 500), dead: [] }
        expect(yield* names(store.settleBehind(lease, "mirror", outcome))).toBe(
          "update find delete update commitTransaction delete"
        )
        expect(yield* store.stats).toMatchObject({ behind: messages.length })
      })
    )
  )
})
