import { Cause, Context, Deferred, Effect, Exit, Layer, Option, type Scope } from "effect"

/** What a role could not start or go on for. */
export interface RoleError {
  readonly message: string
}

/** Tells the app that a role could not go on. */
export class RoleFailures extends Context.Tag("@twinbox/reference-app/RoleFailures")<
  RoleFailures,
  {
    /** Waits for the first failure of any role, and fails with it. */
    readonly first: Effect.Effect<never, RoleError>
    /** That failure, if there was one already. */
    readonly poll: Effect.Effect<Option.Option<Cause.Cause<RoleError>>>
    /** Runs a role's work in the background until the scope ends. */
    readonly fork: <R>(
      work: Effect.Effect<unknown, RoleError, R>
    ) => Effect.Effect<void, never, R | Scope.Scope>
  }
>() {}

const pollFailure = (failure: Deferred.Deferred<never, RoleError>) =>
  Effect.flatMap(
    Deferred.poll(failure),
    Option.match({
      onNone: () => Effect.succeedNone,
      onSome: (done) => Effect.map(Effect.exit(done), Exit.causeOption)
    })
  )

const make = Effect.map(Deferred.make<never, RoleError>(), (failure) =>
  RoleFailures.of({
    first: Deferred.await(failure),
    poll: pollFailure(failure),
    fork: (work) =>
      work.pipe(
        Effect.onError((cause) =>
          Cause.isInterruptedOnly(cause) ? Effect.void : Deferred.failCause(failure, cause)
        ),
        Effect.forkScoped,
        Effect.asVoid
      )
  })
)

export const layer: Layer.Layer<RoleFailures> = Layer.effect(RoleFailures, make)
