import { Context, Effect, Layer, type Scope } from "effect"

/** One thing that the status tells. */
export interface StatusItem {
  /** As a name in JSON logs, for example `deliveredPerSecond`. */
  readonly name: string
  readonly value: number | string
  /** As people read it, for example `27/s delivered`. */
  readonly text: string
}

/** Reads some items; asked once a second, so it must be cheap. */
export type StatusSource = Effect.Effect<ReadonlyArray<StatusItem>>

/** Where roles say what they are doing. */
export class StatusBoard extends Context.Tag("@twinbox/reference-app/StatusBoard")<
  StatusBoard,
  {
    /** Adds a source until the scope ends. */
    readonly add: (source: StatusSource) => Effect.Effect<void, never, Scope.Scope>
    /** All items, in the order in which their sources came. */
    readonly read: StatusSource
  }
>() {}

const make = Effect.sync(() => {
  const sources = new Set<StatusSource>()
  return StatusBoard.of({
    add: (source) =>
      Effect.asVoid(
        Effect.acquireRelease(
          Effect.sync(() => sources.add(source)),
          () => Effect.sync(() => sources.delete(source))
        )
      ),
    read: Effect.suspend(() =>
      Effect.map(Effect.all([...sources], { concurrency: "unbounded" }), (items) => items.flat())
    )
  })
})

export const layer: Layer.Layer<StatusBoard> = Layer.effect(StatusBoard, make)
