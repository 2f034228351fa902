import { MongoDatabase } from "@twinbox/mongodb"
import { OutboxStore } from "@twinbox/outbox"
import { Duration, Effect, Option, Schedule } from "effect"
import { customerCollection } from "./Customer.ts"
import { Screen } from "./Screen.ts"
import { Settings } from "./Settings.ts"
import { StatusBoard, type StatusItem } from "./StatusBoard.ts"

const redrawEvery = Duration.seconds(1)
const logEvery = Duration.seconds(5)

/** A database that does not answer must not stop the line: what it shows then is the absence of numbers. */
const patience = Duration.millis(900)

const counted = (name: string, value: number): StatusItem => ({
  name,
  value,
  text: `${name} ${value.toLocaleString("en")}`
})

const estimated = (collection: string) =>
  Effect.flatMap(MongoDatabase.MongoDatabase, ({ db }) =>
    Effect.tryPromise(() => db.collection(collection).estimatedDocumentCount())
  )

/** Counts that cost the database nothing, however much it holds; they may run ahead by what is just being written. */
const counts = Effect.all(
  [
    estimated(customerCollection),
    estimated(`${customerCollection}_anonymised`),
    Effect.flatMap(OutboxStore.OutboxStore, (store) => store.depth)
  ],
  { concurrency: "unbounded" }
).pipe(
  Effect.map(([customers, twins, outbox]) => [
    counted("customers", customers),
    counted("twins", twins),
    counted("outbox", outbox)
  ]),
  Effect.timeout(patience),
  Effect.orElseSucceed((): ReadonlyArray<StatusItem> => [
    { name: "mongodb", value: "away", text: "MongoDB does not answer" }
  ])
)

const read = Effect.gen(function* () {
  const board = yield* StatusBoard
  const rest = Effect.timeoutOption(board.read, patience)
  const [base, roles] = yield* Effect.all([counts, rest], { concurrency: "unbounded" })
  return [...base, ...Option.getOrElse(roles, (): ReadonlyArray<StatusItem> => [])]
})

const drawLive = Effect.gen(function* () {
  const items = yield* read
  const screen = yield* Screen
  screen.live(items.map(({ text }) => text).join(" · "))
})

const logLine = (isJson: boolean) =>
  Effect.flatMap(read, (items) =>
    isJson
      ? Effect.annotateLogs(
          Effect.logInfo("status"),
          Object.fromEntries(items.map(({ name, value }) => [name, value]))
        )
      : Effect.logInfo(`status: ${items.map(({ text }) => text).join(", ")}`)
  )

/** Shows how things stand until interrupted: a live line on a terminal, elsewhere a log line every few seconds. */
export const run = Effect.gen(function* () {
  const screen = yield* Screen
  const { logFormat } = yield* Settings
  if (!screen.isTerminal || logFormat !== "auto") {
    return yield* logLine(logFormat === "json").pipe(
      Effect.repeat(Schedule.spaced(logEvery)),
      // Not at once: there would be nothing to tell yet.
      Effect.delay(redrawEvery)
    )
  }
  return yield* Effect.repeat(drawLive, Schedule.fixed(redrawEvery)).pipe(
    Effect.ensuring(Effect.sync(() => screen.live(undefined)))
  )
})
