import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { testSecret } from "../../../test/setup/appDatabase.ts"
import * as PseudonymKey from "../src/PseudonymKey.ts"
import * as Settings from "../src/Settings.ts"

const otherSecret = "5b0c4e6a17f2939f1c5a7be03d42688d"

const versionsIn = (environment: Readonly<Record<string, string>>) =>
  Effect.map(PseudonymKey.PseudonymKey, ({ keys }) => keys.map(({ version }) => version)).pipe(
    Effect.provide(PseudonymKey.layerConfig),
    Effect.provide(Layer.merge(Settings.layerConfig, NodeContext.layer)),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(environment))))
  )

const given = {
  MONGODB_URI: "mongodb://127.0.0.1:1/?replicaSet=rs0",
  ANONYMIZE_SECRET: testSecret,
  ANONYMIZE_KEY_VERSION: "2"
}
const previous = { ANONYMIZE_PREVIOUS_SECRET: otherSecret, ANONYMIZE_PREVIOUS_KEY_VERSION: "1" }

describe("The keys of the app", () => {
  it.effect("are that of the environment, and the one before while secrets are rotated", () =>
    Effect.gen(function* () {
      expect(yield* versionsIn(given)).toEqual([2])
      expect(yield* versionsIn({ ...given, ...previous })).toEqual([2, 1])
    })
  )

  it.effect(
    "are refused when they contradict each other, and never made up for a database that is given",
    () =>
      Effect.gen(function* () {
        const reasonOf = (environment: Readonly<Record<string, string>>) =>
          Effect.map(Effect.flip(versionsIn(environment)), (error) => "reason" in error && error.reason)
        expect(yield* reasonOf({ ...given, ...previous, ANONYMIZE_PREVIOUS_KEY_VERSION: "2" })).toBe("Order")
        expect(yield* reasonOf({ ...given, ANONYMIZE_PREVIOUS_SECRET: otherSecret })).toBe("HalfGiven")
        expect(yield* reasonOf({ MONGODB_URI: given.MONGODB_URI, ...previous })).toBe("Missing")
      })
  )
})
