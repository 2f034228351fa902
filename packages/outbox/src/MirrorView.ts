import { Data, type Effect, type Stream } from "effect"
import type { Key } from "./Key.ts"
import type { View } from "./Topic.ts"

/*
 * The port by which a mirror shows what it holds, to be compared with the database. It looks and changes nothing: what
 * differs is put right by a new message.
 */

/** What a mirror shows of a key. */
export interface Shown {
  /** 0 where what it holds as a version is no number. */
  readonly version: number
  /** SHA-1 of the payload's UTF-8 text, in lower-case hexadecimal. */
  readonly digest: string
}

/** The mirror did not answer. */
export class MirrorUnavailable extends Data.TaggedError("MirrorUnavailable")<{
  readonly mirror: string
  readonly cause: unknown
}> {
  readonly retryable = true
  override get message() {
    return `the mirror '${this.mirror}' does not answer`
  }
}

/** Keys of one call, at most: a mirror may do nothing else meanwhile. */
export const maxKeys = 250

export interface MirrorView {
  /** Name of the sink. */
  readonly name: string
  /** Which payloads it holds. */
  readonly view: View
  /**
   * SHA-1 in lower-case hexadecimal of one line for each key, in their order, each ended by a line feed: version and
   * digest of what is shown, with a space between them, or `-` where nothing is.
   */
  readonly digest: (keys: ReadonlyArray<Key>) => Effect.Effect<string, MirrorUnavailable>
  /** What it shows of each key, in their order; undefined: nothing, or that the record is gone. */
  readonly shown: (
    keys: ReadonlyArray<Key>
  ) => Effect.Effect<ReadonlyArray<Shown | undefined>, MirrorUnavailable>
  /** All keys of a stream of which it shows something, a page at a time, each at least once. */
  readonly keys: (stream: string) => Stream.Stream<ReadonlyArray<Key>, MirrorUnavailable>
}
