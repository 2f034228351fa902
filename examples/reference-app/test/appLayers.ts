import { AnonymizeKey, KeyRing } from "@twinbox/anonymize"
import { Effect, Layer, Logger, LogLevel, Redacted } from "effect"
import { testSecret } from "../../../test/setup/appDatabase.ts"
import { PseudonymKey } from "../src/PseudonymKey.ts"

/** The key that tests make pseudonyms with. */
export const pseudonymKey = Layer.effect(
  PseudonymKey,
  Effect.flatMap(AnonymizeKey.make({ version: 1, secret: Redacted.make(testSecret) }), (key) =>
    KeyRing.make(key)
  )
)

/** Takes the log lines away from the screen. */
export const collecting = (lines: Array<string>) =>
  Layer.merge(
    Logger.replace(
      Logger.defaultLogger,
      Logger.map(Logger.logfmtLogger, (line) => {
        lines.push(line)
      })
    ),
    Logger.minimumLogLevel(LogLevel.Info)
  )
