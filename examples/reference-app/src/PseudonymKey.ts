import { AnonymizeKey, SecretError } from "@twinbox/anonymize"
import { Config, Context, Effect, Layer, Option } from "effect"
import * as DemoSecret from "./DemoSecret.ts"
import { Settings } from "./Settings.ts"

/** What the twins of this app are made with. */
export class PseudonymKey extends Context.Tag("@twinbox/reference-app/PseudonymKey")<
  PseudonymKey,
  AnonymizeKey
>() {}

/** A made-up secret would be lost with this machine while the twins in a real database stay. */
const refuseToInvent = new SecretError({ reason: "Missing" })

const demoKey = (folder: string) =>
  Effect.flatMap(DemoSecret.ofFolder(folder), (secret) => AnonymizeKey.make({ version: 1, secret }))

const make = Effect.gen(function* () {
  const { dataFolder, isMongoGiven } = yield* Settings
  const given = yield* Config.option(Config.nonEmptyString("ANONYMIZE_SECRET"))
  if (Option.isSome(given)) return yield* AnonymizeKey.config
  return yield* isMongoGiven ? refuseToInvent : demoKey(dataFolder)
})

/** Reads `ANONYMIZE_SECRET`. Without it, embedded servers get a secret of their own; those of the environment none. */
export const layerConfig = Layer.effect(PseudonymKey, make)
