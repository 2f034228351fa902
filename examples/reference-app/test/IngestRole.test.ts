import { expect, it, describe } from "@effect/vitest"
import { Effect } from "effect"
import { trackMessage } from "../../../test/setup/sessionClient.ts"
import { startIngest } from "./ingestServer.ts"

describe("Messages of a session", () => {
  it.scopedLive("are acknowledged when they are saved", () =>
    Effect.gen(function* () {
      const { events, open } = yield* startIngest()
      const client = yield* open("s1")
      client.send(trackMessage("m1", { value: 3 }))
      const [reply] = yield* Effect.promise(() => client.received(1))
      expect(reply).toEqual({ type: "ack", messageId: "m1", requestId: expect.any(String) })
      const [event, ...others] = yield* events("s1")
      expect(others).toEqual([])
      expect(event?.payload).toMatchObject({ messageId: "m1", sessionId: "s1", requestId: reply?.requestId })
    })
  )
})
