#!/usr/bin/env node
import { Command, HelpDoc, Options, ValidationError } from "@effect/cli"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Cause, Effect, Either, Exit, Layer, Option } from "effect"
import * as App from "./App.ts"
import * as CustomerOutbox from "./CustomerOutbox.ts"
import * as CustomerSync from "./CustomerSync.ts"
import * as Customers from "./Customers.ts"
import * as Database from "./Database.ts"
import * as EventKafka from "./EventKafka.ts"
import * as FullReindex from "./FullReindex.ts"
import * as LogBuffer from "./LogBuffer.ts"
import * as Logs from "./Logs.ts"
import * as LogWriter from "./LogWriter.ts"
import * as MirrorRedis from "./MirrorRedis.ts"
import * as OperationsServer from "./OperationsServer.ts"
import * as PseudonymKey from "./PseudonymKey.ts"
import * as Readiness from "./Readiness.ts"
import * as RemoteCustomers from "./RemoteCustomers.ts"
import * as RoleFailures from "./RoleFailures.ts"
import { choose, names, type RoleName, roles, wants } from "./Roles.ts"
import * as Screen from "./Screen.ts"
import { sentenceOf } from "./Sentence.ts"
import * as Settings from "./Settings.ts"
import * as StatusBoard from "./StatusBoard.ts"
import * as StopSignal from "./StopSignal.ts"

const version = "0.1.0"

const purposes = names.map((name) => `${name} ${roles[name].purpose}`).join("; ")

const rolesOption = Options.text("roles").pipe(
  Options.withDescription(`Roles to run, with commas between them: ${purposes}. Preset: all of them.`),
  Options.optional
)

const fullReindexOption = Options.boolean("full-reindex").pipe(
  Options.withDescription(
    "Compare all customers with their twins once, put right what differs, and end: for the role sync, which is the preset then. Goes on with one that was stopped."
  )
)

const options = Options.all({ roles: rolesOption, fullReindex: fullReindexOption }).pipe(
  Options.mapEffect((given) =>
    Either.mapBoth(choose(given.roles, given.fullReindex), {
      onLeft: (problem) => ValidationError.invalidValue(HelpDoc.p(problem)),
      onRight: (chosen) => ({ chosen, fullReindex: given.fullReindex })
    })
  )
)

const customers = Layer.provide(Customers.layer, PseudonymKey.layerConfig)

const customerSync = Layer.provide(CustomerSync.layer, PseudonymKey.layerConfig)

/** One way alone needs no secret. */
const remoteCustomers = Layer.unwrapEffect(
  Effect.map(Settings.Settings, ({ twoWay }) =>
    twoWay ? Layer.provide(RemoteCustomers.layer, customers) : RemoteCustomers.layerUnneeded
  )
)

/** Where there is no API, the listener tells how things stand all the same. */
const ingest = (chosen: ReadonlyArray<RoleName>) =>
  chosen.includes("api") ? roles.ingest.layer : Layer.merge(roles.ingest.layer, OperationsServer.layer)

/** The roles with what is not everybody's; what several of them have is made once. */
const layersOf = (chosen: ReadonlyArray<RoleName>) => ({
  generator: roles.generator.layer.pipe(Layer.provide(customers)),
  ingest: ingest(chosen).pipe(Layer.provide(customers)),
  sync: Layer.provide(roles.sync.layer, customerSync),
  relay: roles.relay.layer.pipe(
    Layer.provide(remoteCustomers),
    Layer.provide(CustomerOutbox.layer),
    Layer.provide(MirrorRedis.connections)
  ),
  // The customers see to it that the secret is the one that this database knows.
  consumer: roles.consumer.layer.pipe(Layer.provide(customers), Layer.provide(PseudonymKey.layerConfig)),
  api: roles.api.layer.pipe(Layer.provide(customers))
})

/** What every role finds: bad settings are told before any server is started. */
const environment = (chosen: ReadonlyArray<RoleName>) => {
  const servers = Layer.mergeAll(
    Layer.provideMerge(LogWriter.layer(), Database.layer),
    wants(chosen, "Redis") ? MirrorRedis.layer : MirrorRedis.layerUnneeded,
    wants(chosen, "Kafka") ? EventKafka.layer : EventKafka.layerUnneeded
  )
  return servers.pipe(
    Layer.provideMerge(Layer.mergeAll(Readiness.layer, RoleFailures.layer, StatusBoard.layer)),
    Layer.provideMerge(Layer.merge(Logs.layer, LogBuffer.layer())),
    Layer.provideMerge(Settings.layerConfig)
  )
}

const runRoles = (chosen: ReadonlyArray<RoleName>) =>
  App.run(chosen, layersOf(chosen)).pipe(Effect.provide(environment(chosen)))

const fullReindex = FullReindex.run.pipe(
  Effect.provide(customerSync),
  Effect.provide(environment(["sync"])),
  FullReindex.untilStopped
)

const command = Command.make("reference-app", { options }, ({ options: { chosen, fullReindex: isFull } }) =>
  isFull ? fullReindex : runRoles(chosen)
).pipe(
  Command.withDescription(
    "Saves fake customers, each with its anonymized twin, mirrors the twins to Redis and publishes them on Kafka, and takes events of sessions over WebSockets. Settings come from the environment and .env; .env.example lists them."
  )
)

const cli = Command.run(command, { name: "Twinbox reference app", version })

/** Beside a usage error, which the command line has told already, one sentence. */
const tell = (cause: Cause.Cause<unknown>) =>
  Effect.sync(() => {
    const failure = Option.getOrUndefined(Cause.failureOption(cause))
    if (ValidationError.isValidationError(failure)) return
    process.stderr.write(`reference-app: ${sentenceOf(cause)}\n`)
  })

const untilStoppedEarly = Effect.flatMap(StopSignal.StopSignal, (signal) => signal.receivedEarly)

const main = Effect.raceFirst(cli(process.argv), untilStoppedEarly).pipe(
  Effect.tapErrorCause(tell),
  Effect.provide(StopSignal.layer),
  Effect.provide(Screen.layer),
  Effect.provide(PlatformConfigProvider.layerDotEnvAdd(".env")),
  Effect.provide(NodeContext.layer)
)

Effect.runFork(main).addObserver((exit) => process.exit(Exit.isSuccess(exit) ? 0 : 1))
