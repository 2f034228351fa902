import { AnonymizeKey, KeyRing, SecretError } from "@twinbox/anonymize"
import { Config, Context, Effect, Layer, Option } from "effect"
import * as DemoSecret from "./DemoSecret.ts"
import { Settings } from "./Settings.ts"

/** What the twins of this app are made with, and earlier keys that some of them are still of. */
export class PseudonymKey extends Context.Tag("@twinbox/reference-app/PseudonymKey")<
  PseudonymKey,
  KeyRing
>() {}

/** A made-up secret would be lost with this machine while the twins in a real database stay. */
const refuseToInvent = new SecretError({ reason: "Missing" })

const demoKey = (folder: string) =>
  DemoSecret.ofFolder(folder).pipe(
    Effect.flatMap((secret) => AnonymizeKey.make({ version: 1, secret })),
    Effect.flatMap((key) => KeyRing.make(key))
  )

const make = Effect.gen(function* () {
  const { dataFolder, isMongoGiven } = yield* Settings
  const given = yield* Config.option(Config.nonEmptyString("ANONYMIZE_SECRET"))
  if (Option.isSome(given)) return yield* KeyRing.config
  return yield* isMongoGiven ? refuseToInvent : demoKey(dataFolder)
})

/** Reads `ANONYMIZE_SECRET` and `ANONYMIZE_PREVIOUS_SECRET`. Without the first, embedded servers get a secret of their own; those of the environment none. */
export const layerConfig = Layer.effect(PseudonymKey, make)
