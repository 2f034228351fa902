import { expect, it } from "@effect/vitest"
import { MessageFixture, RecordingSink } from "@twinbox/testkit"
import { Effect, Tracer } from "effect"
import * as Message from "../src/Message.ts"
import * as TraceContext from "../src/TraceContext.ts"
import * as RelayWorld from "./RelayWorld.ts"

it.scoped("a call of a sink is a span linked to the traces of its saves, which the sink can go on with", () =>
  Effect.gen(function* () {
    const started: Array<Tracer.Span> = []
    const tracer = yield* Effect.tracer
    const recordingTracer = Tracer.make({
      span: (...given) => {
        const span = tracer.span(...given)
        started.push(span)
        return span
      },
      context: (run, fiber) => tracer.context(run, fiber)
    })
    yield* Effect.gen(function* () {
      const world = yield* RelayWorld.make
      const sink = RecordingSink.make({ name: "one", topics: [MessageFixture.topic] })
      yield* world.start({ sinks: [sink.sink] })
      const draft = yield* Effect.withSpan(
        Message.draft(MessageFixture.topic, { key: "customer/1", payload: { revision: 1 } }),
        "save"
      )
      const message = Message.place(draft, { sequence: 1, ordinal: 0, createdAt: 0 })
      yield* world.commit(message)
      yield* RelayWorld.settle
      const save = started.find(({ name }) => name === "save")
      const call = started.find(({ name }) => name === "twinbox.relay.deliver")
      expect(call?.attributes.get("twinbox.sink")).toBe("one")
      expect(call?.links.map(({ span }) => [span.traceId, span.spanId])).toEqual([
        [save?.traceId, save?.spanId]
      ])
      expect(call?.traceId).not.toBe(save?.traceId)
      expect(sink.received()[0]?.headers[TraceContext.header]).toContain(save?.spanId)
    }).pipe(Effect.withTracer(recordingTracer))
  })
)
