import { MongoDatabase, MongoOutboxAdmin, MongoOutboxStore, Transaction } from "@twinbox/mongodb"
import { type Message, type OutboxStore, Slot } from "@twinbox/outbox"
import { Effect, Redacted } from "effect"
import type { CommandStartedEvent, Document } from "mongodb"
import { inject } from "vitest"
import { testOutboxDatabase } from "./testDatabase.ts"

type Database = MongoDatabase.MongoDatabase["Type"]

/** What one process has: a connection, and store and admin over it. */
export const processOn = (database: Database, options: MongoOutboxStore.Options = {}) =>
  Effect.gen(function* () {
    const provided = Effect.provideService(MongoDatabase.MongoDatabase, database)
    return {
      database,
      store: yield* provided(MongoOutboxStore.make(options)),
      admin: yield* provided(MongoOutboxAdmin.make(options)),
      transact: <A, E>(body: Effect.Effect<A, E, MongoDatabase.MongoDatabase>) => provided(body)
    }
  })

export type Process = Effect.Effect.Success<ReturnType<typeof processOn>>

/** A process on a fresh database with an outbox. */
export const freshProcess = (options: MongoOutboxStore.Options = {}) =>
  Effect.flatMap(testOutboxDatabase, (database) => processOn(database, options))

/** Another process on the same database, with a client of its own, which tells of its commands. */
export const anotherProcess = ({ db }: Database, options: MongoOutboxStore.Options = {}) =>
  Effect.gen(function* () {
    const uri = inject("mongoUri")
    const database = yield* MongoDatabase.make({
      uri: Redacted.make(`${uri}${uri.includes("?") ? "&" : "?"}monitorCommands=true`),
      database: db.databaseName,
      appName: `${db.databaseName}-other`
    })
    return yield* processOn(database, options)
  })

/** Makes a relay known and claims slots for it. */
export const enter = (
  { store }: Process,
  owner: string,
  slots: ReadonlyArray<number> = Slot.all
): Effect.Effect<OutboxStore.Lease, unknown> =>
  Effect.zipRight(
    store.join(owner, 5_000),
    Effect.map(store.claim(owner, slots), (claimed) => ({
      owner,
      epochs: new Map(claimed.map(({ epoch, slot }) => [slot, epoch]))
    }))
  )

/** Commits messages. */
export const commit = ({ store, transact }: Process, messages: ReadonlyArray<Message.Message>) =>
  transact(Transaction.run(store.append(messages)))

/** The settlement of a message that sinks still owe. */
export const behind = (
  { id, slot }: Message.Message,
  ...sinks: ReadonlyArray<string>
): OutboxStore.Settlement => ({ messageId: id, slot, behind: sinks, dead: [] })

/** A dead letter of a message. */
export const letter = ({ id, slot }: Message.Message, sink: string): OutboxStore.DeadLetter => ({
  messageId: id,
  slot,
  sink,
  reason: "Rejected",
  error: "refused by a test",
  attempts: 3,
  blocks: true,
  history: [],
  at: 1_767_225_600_000
})

/** The commands that a monitored process sends while an effect runs. */
export const commandsOf = <A, E, R>({ database: { client } }: Process, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const commands: Array<Document> = []
    const note = ({ command, commandName }: CommandStartedEvent) =>
      void (commandName === "endSessions" || commands.push({ ...command }))
    client.on("commandStarted", note)
    yield* Effect.ensuring(
      effect,
      Effect.sync(() => client.off("commandStarted", note))
    )
    return commands
  })

/** The name of a command is that of its first field. */
export const namesOf = (commands: ReadonlyArray<Document>) =>
  commands.map((command) => Object.keys(command)[0]).join(" ")
