import type { Schema } from "effect"

/** Which side of a record a topic carries: the personal data itself, or pseudonyms in its place. */
export type View = "anonymized" | "original"

/**
 * A topic is a typed, named stream of messages with one payload Schema.
 *
 * `V` says in the type whether its payloads hold personal data, so that a sink made for anonymized
 * topics cannot be given an original one by mistake.
 */
export interface Topic<in out A, in out I, out V extends View> {
  readonly name: string
  /** Payload Schema; its encoded side is what stands in the outbox as JSON text. */
  readonly schema: Schema.Schema<A, I>
  readonly view: V
  /** Whether messages of one key are delivered in rising sequence. */
  readonly ordered: boolean
  /** Version of the payload Schema, carried in the `schema-version` header. */
  readonly schemaVersion: number
}

/** Any topic of a view. */
// eslint-disable-next-line typescript/no-explicit-any -- the payload type is invariant; only `any` accepts every topic
export type Any<V extends View = View> = Topic<any, any, V>

export interface Options {
  /** Default true. */
  readonly ordered?: boolean
  /** Default 1. */
  readonly schemaVersion?: number
}

const make =
  <V extends View>(view: V) =>
  <A, I>(name: string, schema: Schema.Schema<A, I>, options: Options = {}): Topic<A, I, V> => ({
    name,
    schema,
    view,
    ordered: options.ordered ?? true,
    schemaVersion: options.schemaVersion ?? 1
  })

/** A topic whose payloads hold pseudonyms only. */
export const anonymized = make("anonymized")

/** A topic whose payloads hold personal data. Publishing one is always an explicit choice. */
export const original = make("original")
