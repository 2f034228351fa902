import { type Duration, Effect, Option } from "effect"
import type { ProgramDownload } from "./ProgramDownload.ts"
import type { Report } from "./Report.ts"
import type { ProgramSearch } from "./ServerProgram.ts"
import { ServiceError, type ServiceName } from "./ServiceError.ts"

/** What every server is asked for. */
export interface ServerOptions extends ProgramSearch {
  /** A server that is already there: it is checked, used and never stopped. */
  readonly uri: Option.Option<string>
  /** Where data stays until the next start; without it, it goes away at the end of the scope. */
  readonly dataFolder?: string
  /** More arguments for the server program, after our own. */
  readonly arguments?: ReadonlyArray<string>
  /** Default 30 seconds. */
  readonly startTimeout?: Duration.DurationInput
  /** Patience with a clean stop before SIGKILL. Default 3 seconds. */
  readonly stopTimeout?: Duration.DurationInput
  /** How long to wait for the server of `uri`. Default 10 seconds. */
  readonly uriTimeout?: Duration.DurationInput
  /** Where progress lines go. Default: the log, at level info. */
  readonly report?: Report
  /** Where a program comes from when the machine has none, in this order. */
  readonly downloads?: ReadonlyArray<ProgramDownload>
}

export const defaultStartTimeout: Duration.DurationInput = "30 seconds"
export const defaultStopTimeout: Duration.DurationInput = "3 seconds"
export const defaultUriTimeout: Duration.DurationInput = "10 seconds"

/** Where a server came from: the environment's URI, a program on the machine, or a (cached) download. */
export type ServerOrigin = "environment" | "machine" | "download"

/** The answer of every control of a server that the environment named. */
export const notOwned = (service: ServiceName): Effect.Effect<never, ServiceError> =>
  Effect.fail(
    new ServiceError({
      service,
      reason: "NotOwned",
      message: `This ${service} came with the environment, so it is not started, stopped or killed from here.`,
      retryable: false
    })
  )

export const noPid: Effect.Effect<Option.Option<number>> = Effect.succeed(Option.none())
