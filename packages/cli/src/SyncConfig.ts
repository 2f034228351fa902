import type { AnonymizeKey, AnonymizerError, FullyAnnotated } from "@twinbox/anonymize"
import type { MongoDatabase, MongoError } from "@twinbox/mongodb"
import type { MirrorView, Outbox } from "@twinbox/outbox"
import { RedisMirror } from "@twinbox/redis"
import { type KeyError, TwinSync } from "@twinbox/repository"
import type { Effect, Schema } from "effect"

/** A mirror in Redis, as the relay has it: `RedisMirror` and `MirrorView` take the same options. */
export interface MirrorOptions extends Pick<
  RedisMirror.OriginalsOptions,
  "name" | "prefixOf" | "indexes" | "tombstoneTtl"
> {
  /** Which mirror: that of twins, or that of originals. */
  readonly view: MirrorView.MirrorView["view"]
}

/** The same, with the name that it has. */
export interface Mirror extends MirrorOptions {
  readonly name: string
}

/** What the repository is made with, but for the key, which comes from the environment, and the mirrors. */
export interface Options<S extends Schema.Schema.AnyNoContext> extends Omit<
  TwinSync.Options<S>,
  "key" | "batchSize"
> {
  /** What relays carry to Redis. Default: nothing. */
  readonly mirrors?: ReadonlyArray<MirrorOptions>
}

/** Tells a config from other values, also one that another copy of this package has made. */
const TypeId: unique symbol = Symbol.for("@twinbox/cli/SyncConfig") as never

/** A collection with twins and its mirrors, as the commands know it; made by `define`. */
export interface SyncConfig {
  readonly [TypeId]: typeof TypeId
  /** Name of the originals' collection. */
  readonly collection: string
  readonly mirrors: ReadonlyArray<Mirror>
  /** Makes the sync of the collection, as `TwinSync.make` does. */
  readonly sync: (
    key: AnonymizeKey,
    options: Pick<TwinSync.Options<never>, "batchSize">
  ) => Effect.Effect<
    TwinSync.TwinSync,
    AnonymizerError | KeyError | MongoError.MongoError,
    MongoDatabase.MongoDatabase | Outbox.Outbox
  >
}

const named = (mirror: MirrorOptions): Mirror => ({
  name: mirror.view === "original" ? RedisMirror.defaultOriginalsName : RedisMirror.defaultName,
  ...mirror
})

const check = (mirrors: ReadonlyArray<Mirror>, publishesOriginals: boolean): void => {
  const twice = mirrors.find(({ name }, at) => mirrors.findIndex((other) => other.name === name) !== at)
  if (twice !== undefined) throw new TypeError(`two mirrors have the name '${twice.name}'`)
  const original = mirrors.find(({ view }) => view === "original")
  if (original !== undefined && !publishesOriginals) {
    throw new TypeError(`the mirror '${original.name}' needs an originalTopic`)
  }
}

/**
 * Describes a collection with twins to the `twinbox` command:
 *
 *     // twinbox.config.ts
 *     export default define({ schema: Customer, collection: "customers", topic, mirrors: [{ view: "anonymized" }] })
 *
 * A module may also export an Effect that makes it from settings of the environment.
 */
export const define = <S extends Schema.Schema.AnyNoContext>(
  options: Options<S> & { readonly schema: FullyAnnotated<S> }
): SyncConfig => {
  const { mirrors = [], ...repository } = options
  const all = mirrors.map(named)
  check(all, options.originalTopic !== undefined)
  return {
    [TypeId]: TypeId,
    collection: options.collection,
    mirrors: all,
    sync: (key, { batchSize }) =>
      TwinSync.make<S>({ ...repository, ...(batchSize === undefined ? {} : { batchSize }), key } as never)
  }
}

/** Whether a value was made by `define`. */
export const isSyncConfig = (value: unknown): value is SyncConfig =>
  typeof value === "object" && value !== null && TypeId in value
