import { AnonymizeKey } from "@twinbox/anonymize"
import { Layer, Logger, LogLevel, Redacted } from "effect"
import { testSecret } from "../../../test/setup/appDatabase.ts"
import { PseudonymKey } from "../src/PseudonymKey.ts"

/** The key that tests make pseudonyms with. */
export const pseudonymKey = Layer.effect(
  PseudonymKey,
  AnonymizeKey.make({ version: 1, secret: Redacted.make(testSecret) })
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
