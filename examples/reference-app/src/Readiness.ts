import { Cause, Context, Data, Duration, Effect, Fiber, Layer, Option, type Scope } from "effect"

/** What keeps this process from doing its work; in words, for whoever asks, so with no secret in them. */
export class Unready extends Data.TaggedError("Unready")<{ readonly reason: string }> {}

/** Looks at one thing that the process needs; asked once a second at most. */
export type Check = Effect.Effect<void, Unready>

/** What was found; a check without a reason has passed. */
export type Findings = ReadonlyMap<string, { readonly reason?: string }>

/** Where roles say what they need to do their work. */
export class Readiness extends Context.Tag("@twinbox/reference-app/Readiness")<
  Readiness,
  {
    /** Adds a check until the scope ends. */
    readonly add: (name: string, check: Check) => Effect.Effect<void, never, Scope.Scope>
    /** What all checks find, a second ago at most. */
    readonly findings: Effect.Effect<Findings>
  }
>() {}

/** A check that takes longer has failed. */
const answerWithin = Duration.seconds(1)

/** However many ask: they must not be a load for what is looked at. */
const maxAge = Duration.seconds(1)

const late = new Unready({ reason: "there was no answer in time" })

/** A defect may quote anything, so it is not told. */
const broken = { reason: "the check itself failed" }

const find = (check: Check) =>
  check.pipe(
    // A check that does not end is left behind: drivers cannot always be interrupted.
    Effect.disconnect,
    Effect.timeoutFail({ duration: answerWithin, onTimeout: () => late }),
    Effect.matchCause({
      onSuccess: () => ({}),
      onFailure: (cause) =>
        Option.match(Cause.failureOption(cause), {
          onNone: () => broken,
          onSome: ({ reason }) => ({ reason })
        })
    })
  )

const make = Effect.gen(function* () {
  const checks = new Map<string, Check>()
  const findAll = Effect.suspend(() =>
    Effect.forEach(checks, ([name, check]) => Effect.map(find(check), (found) => [name, found] as const), {
      concurrency: "unbounded"
    })
  )
  // In a fiber of its own: who goes away must not spoil the findings for the others who wait for them.
  const finding = yield* Effect.cachedWithTTL(Effect.forkDaemon(Effect.interruptible(findAll)), maxAge)
  return Readiness.of({
    add: (name, check) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => checks.set(name, check)),
          () => Effect.sync(() => checks.delete(name))
        )
      ),
    // Not `Fiber.join`, which would put the finder's context in the place of the asker's.
    findings: Effect.map(Effect.flatten(Effect.flatMap(finding, Fiber.await)), (found) => new Map(found))
  })
})

export const layer: Layer.Layer<Readiness> = Layer.effect(Readiness, make)
