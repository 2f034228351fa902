import { Command } from "@effect/cli"
import { OutboxAdmin, type OutboxStore } from "@twinbox/outbox"
import { Clock, Effect } from "effect"
import * as Age from "../Age.ts"
import * as OutboxCommand from "../OutboxCommand.ts"
import * as Count from "../Count.ts"
import * as Output from "../Output.ts"
import * as Table from "../Table.ts"

const nothing: OutboxStore.SinkStats = { behind: 0, dead: 0, blockedKeys: 0, oldestCreatedAt: undefined }

/** Every sink that is registered, owes something or has dead letters. */
const sinksOf = ({ sinks, stats }: OutboxAdmin.Status) => {
  const registered = new Map(sinks.map((sink) => [sink.name, sink]))
  const names = [...new Set([...registered.keys(), ...stats.sinks.keys()])].sort()
  return names.map((name) => ({
    name,
    registration: registered.get(name),
    stats: stats.sinks.get(name) ?? nothing
  }))
}

const document = (status: OutboxAdmin.Status) => {
  const { oldestCreatedAt, sinks: _, ...counts } = status.stats
  return {
    ...counts,
    oldestCreatedAt: Output.time(oldestCreatedAt),
    freeSlots: status.freeSlots,
    suspectSlots: status.suspectSlots,
    relays: status.members.map(({ leaseMillis, leaving, owner, slots }) => ({
      owner,
      slots,
      leaseMillis,
      leaving
    })),
    sinks: sinksOf(status).map(({ name, registration, stats }) => ({
      name,
      isRegistered: registration !== undefined,
      ...stats,
      oldestCreatedAt: Output.time(stats.oldestCreatedAt)
    }))
  }
}

const right = (title: string) => ({ title, alignsRight: true })

const messageColumns = ["READY", "BEHIND", "SCHEDULED", "DEAD", "DELIVERED", "OLDEST"].map(right)
const sinkColumns = [{ title: "SINK" }, ...["BEHIND", "DEAD", "BLOCKED KEYS", "OLDEST"].map(right)]
const relayColumns = [{ title: "RELAY" }, right("SLOTS"), right("LEASE"), { title: "STATE" }]

const ageOf = (at: number | undefined, now: number): string => (at === undefined ? "-" : Age.since(at, now))

const messageTable = ({ stats }: OutboxAdmin.Status, now: number): string =>
  Table.render(messageColumns, [
    [
      ...[stats.ready, stats.behind, stats.scheduled, stats.dead, stats.delivered].map(Count.text),
      ageOf(stats.oldestCreatedAt, now)
    ]
  ])

const sinkTable = (status: OutboxAdmin.Status, now: number): string => {
  const rows = sinksOf(status).map(({ name, registration, stats }) => [
    registration === undefined && name !== "*" ? `${name} (not registered)` : name,
    ...[stats.behind, stats.dead, stats.blockedKeys].map(Count.text),
    ageOf(stats.oldestCreatedAt, now)
  ])
  return rows.length === 0 ? "no sinks: no relay has registered any yet" : Table.render(sinkColumns, rows)
}

const relayTable = ({ freeSlots, members, suspectSlots }: OutboxAdmin.Status): string => {
  const rows = members.map((member) => [
    member.owner,
    Count.text(member.slots),
    Age.since(0, member.leaseMillis),
    member.leaving ? "leaving" : "running"
  ])
  const table = rows.length === 0 ? "no relay runs: nothing is delivered" : Table.render(relayColumns, rows)
  return `${table}\n\n${Count.of(freeSlots, "free slot")}, ${Count.of(suspectSlots, "suspect slot")}`
}

const text = (status: OutboxAdmin.Status, now: number): string =>
  [messageTable(status, now), sinkTable(status, now), relayTable(status)].join("\n\n")

const status = Effect.gen(function* () {
  const admin = yield* OutboxAdmin.OutboxAdmin
  const found = yield* admin.status
  return { document: document(found), text: text(found, yield* Clock.currentTimeMillis) }
})

/** `twinbox status` */
export const command = Command.make("status", OutboxCommand.options, (given) =>
  OutboxCommand.run(given, status)
).pipe(Command.withDescription("How many messages wait and for which sink, and which relays carry them."))
