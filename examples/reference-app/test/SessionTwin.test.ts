import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { SessionEvent } from "../src/SessionEvent.ts"
import * as SessionTwin from "../src/SessionTwin.ts"
import { pseudonymKey } from "./appLayers.ts"

const twinOf = Effect.provide(SessionTwin.make, pseudonymKey)

const event: SessionEvent = {
  messageId: "m1",
  sessionId: "s1",
  requestId: "r1",
  type: "track",
  event: "Order Completed",
  timestamp: "2026-05-01T12:00:00.000Z",
  receivedAt: "2026-05-01T12:00:01.000Z"
}

const personal = ["Ada", "King", "Ada King", "ada", "4917012345678", "203.0.113.9"]
const pseudonym = expect.stringMatching(/^[0-9A-Za-z]{8}$/)

describe("The twin of an event", () => {
  it.effect("keeps what says nothing of a person, under its names", () =>
    Effect.gen(function* () {
      const anonymize = yield* twinOf
      const properties = {
        revenue: 12.5,
        quantity: 2,
        currency: "EUR",
        order_id: "7",
        email: "ada@example.com"
      }
      expect(anonymize({ ...event, properties })).toEqual({
        session_id: "s1",
        message_id: "m1",
        request_id: "r1",
        type: "track",
        event: "Order Completed",
        properties: {
          revenue: 12.5,
          quantity: 2,
          currency: "EUR",
          order_id: pseudonym,
          email: expect.stringMatching(/^[0-9A-Za-z]{8}@example\.com$/),
          others: []
        },
        timestamp: new Date(event.timestamp),
        received_at: new Date(event.receivedAt)
      })
    })
  )

  it.effect("has nothing personal, wherever somebody may have written it", () =>
    Effect.gen(function* () {
      const anonymize = yield* twinOf
      for (const word of personal) {
        const number = /^\d+$/.test(word) ? Number(word) : word
        const twin = anonymize({
          ...event,
          event: word,
          name: word,
          category: word,
          userId: word,
          anonymousId: word,
          properties: {
            name: word,
            email: word,
            currency: word,
            revenue: number,
            path: word,
            [word]: word,
            deep: { deeper: [word] },
            toString: word,
            others: word
          }
        })
        const { message_id, request_id, session_id, timestamp, received_at, type, ...rest } = twin
        expect(Object.keys(rest)).toEqual([
          "other_event",
          "name",
          "category",
          "user_id",
          "anonymous_id",
          "properties"
        ])
        const { properties, ...texts } = rest
        for (const text of Object.values(texts)) expect(text).toEqual(pseudonym)
        const { email, others, name, path, ...unexpected } = properties ?? { others: [] }
        expect(unexpected).toEqual({})
        expect([name, path]).toEqual([pseudonym, pseudonym])
        expect(email).toMatch(/^[0-9A-Za-z]{8}@invalid$/)
        expect(others).toHaveLength(6)
        for (const other of others) expect(other).toEqual(pseudonym)
      }
    })
  )

  it.effect("is the same for the same values, so that events can be counted by them", () =>
    Effect.gen(function* () {
      const anonymize = yield* twinOf
      const one = anonymize({ ...event, event: "Ours", properties: { ours: 1 } })
      const two = anonymize({ ...event, messageId: "m2", event: "Ours", properties: { ours: 1 } })
      const three = anonymize({ ...event, event: "Theirs", properties: { ours: 2 } })
      expect(two).toEqual({ ...one, message_id: "m2" })
      expect(three.other_event).not.toBe(one.other_event)
      expect(three.properties?.others).not.toEqual(one.properties?.others)
    })
  )
})
