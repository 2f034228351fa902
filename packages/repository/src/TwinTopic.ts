import { Anonymizer, type FullyAnnotated, type TwinOf } from "@twinbox/anonymize"
import { Topic } from "@twinbox/outbox"
import { Either, Schema } from "effect"
import * as JsonSide from "./JsonSide.ts"

/** What every published document carries beside its fields. */
const Identity = Schema.Struct({ _id: Schema.String, version: Schema.Int })

export type Identified<A> = A & typeof Identity.Type

/** The topic of a collection's twins: pseudonyms in place of personal data. */
export type TwinTopic<A> = Topic.Topic<A, unknown, "anonymized">

/** The topic of a collection's originals. */
export type OriginalTopic<A> = Topic.Topic<A, unknown, "original">

const published = <A, I>(schema: Schema.Schema<A, I>): Schema.Schema<Identified<A>, unknown> =>
  JsonSide.of(Schema.extend(schema, Identity))

/**
 * The anonymized topic of a Schema. A relay or a consumer can make it without the secret.
 *
 * Throws `UnannotatedField` or `UnsupportedSchema` for a Schema that has no twin.
 */
export const anonymized = <S extends Schema.Schema.AnyNoContext>(
  name: string,
  schema: S & FullyAnnotated<S>
): TwinTopic<Identified<TwinOf<S>>> => {
  const twinSchema = Either.getOrThrowWith(Anonymizer.twinSchema<S>(schema), (error) => error)
  return Topic.anonymized(name, published(twinSchema as Schema.Schema<TwinOf<S>, unknown>))
}

/** The topic of the originals themselves: personal data. Publishing it is an explicit choice. */
export const original = <A, I>(name: string, schema: Schema.Schema<A, I>): OriginalTopic<Identified<A>> =>
  Topic.original(name, published(schema))
