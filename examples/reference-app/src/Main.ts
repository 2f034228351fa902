#!/usr/bin/env node
import { Command, HelpDoc, Options, ValidationError } from "@effect/cli"
import * as PlatformConfigProvider from "@effect/platform/PlatformConfigProvider"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Cause, Effect, Either, Exit, Layer, Option } from "effect"
import * as App from "./App.ts"
import * as Customers from "./Customers.ts"
import * as Database from "./Database.ts"
import * as Logs from "./Logs.ts"
import * as MirrorRedis from "./MirrorRedis.ts"
import * as PseudonymKey from "./PseudonymKey.ts"
import * as Readiness from "./Readiness.ts"
import * as RoleFailures from "./RoleFailures.ts"
import { names, parse, type RoleName, roles } from "./Roles.ts"
import * as Screen from "./Screen.ts"
import { sentenceOf } from "./Sentence.ts"
import * as Settings from "./Settings.ts"
import * as StatusBoard from "./StatusBoard.ts"
import * as StopSignal from "./StopSignal.ts"

const version = "0.1.0"

const purposes = names.map((name) => `${name} ${roles[name].purpose}`).join("; ")

const rolesOption = Options.text("roles").pipe(
  Options.withDescription(`Roles to run, with commas between them: ${purposes}.`),
  Options.withDefault(names.join(",")),
  Options.mapEffect((text) =>
    Either.mapLeft(parse(text), (problem) => ValidationError.invalidValue(HelpDoc.p(`--roles: ${problem}`)))
  )
)

/** The roles with what is theirs alone. */
const layers = {
  generator: roles.generator.layer.pipe(
    Layer.provide(Customers.layer),
    Layer.provide(PseudonymKey.layerConfig)
  ),
  relay: roles.relay.layer.pipe(Layer.provide(MirrorRedis.connection)),
  http: roles.http.layer
}

/** What every role finds: bad settings are told before any server is started. */
const environment = (chosen: ReadonlyArray<RoleName>) => {
  const needsRedis = chosen.some((name) => roles[name].needs.has("Redis"))
  const servers = Layer.merge(Database.layer, needsRedis ? MirrorRedis.layer : MirrorRedis.layerUnneeded)
  return servers.pipe(
    Layer.provideMerge(Layer.mergeAll(Readiness.layer, RoleFailures.layer, StatusBoard.layer)),
    Layer.provideMerge(Logs.layer),
    Layer.provideMerge(Settings.layerConfig)
  )
}

const command = Command.make("reference-app", { roles: rolesOption }, ({ roles: chosen }) =>
  App.run(chosen, layers).pipe(Effect.provide(environment(chosen)))
).pipe(
  Command.withDescription(
    "Saves fake customers, each with its anonymized twin, and mirrors the twins to Redis. Settings come from the environment and .env; .env.example lists them."
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
