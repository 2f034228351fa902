import { Context, Data, type Effect } from "effect"
import type { Headers } from "./Message.ts"
import type { Key } from "./Key.ts"

/*
 * The port between a store that takes writes of its own (Redis) and the database whose commit order decides what
 * becomes of them.
 */

/** Header of the messages that come of a remote write: the `position` of that write. */
export const header = "remote-write"

/**
 * - `create`: `body` is the whole document; refused when the key has one.
 * - `replace`: `body` is the whole document; refused when the key has none.
 * - `patch`: `body` is a JSON Merge Patch (RFC 7396) for the document that the database has by then.
 * - `delete`: `body` is null.
 */
export type Operation = "create" | "replace" | "patch" | "delete"

/** A write that another store has accepted and shows already. */
export interface RemoteWrite {
  /** A random UUID, made before the write: applying it again does nothing. */
  readonly id: string
  /** Where it stands in the log of the store that accepted it; also what that store knows it by. */
  readonly position: string
  readonly key: Key
  readonly operation: Operation
  /** JSON text; null for `delete`. */
  readonly body: string | null
  /** The version that the writer has seen; undefined: any. */
  readonly expectedVersion: number | undefined
  /** For the messages that come of it. */
  readonly headers: Headers
}

/** What the database has of a key. */
export interface State {
  /** The highest version that the key has had; 0: it never was. */
  readonly version: number
  /** JSON text of the document as its topic publishes it; null: there is none. */
  readonly payload: string | null
}

/**
 * Why the database refuses a write for good:
 * - `Exists`, `NotFound`: `create` of what is there, or a change of what is not;
 * - `VersionConflict`: the document has another version than the expected one;
 * - `Invalid`: with the write, the document would not fit its Schema, or the write itself cannot be read;
 * - `TooLarge`: it is over the database's limits;
 * - `Failed`: it has failed in a way that trying again does not mend.
 */
export type Refusal = "Exists" | "NotFound" | "VersionConflict" | "Invalid" | "TooLarge" | "Failed"

/** What became of a write, and what the database has since then. */
export type Verdict =
  | { readonly _tag: "Applied"; readonly state: State }
  | { readonly _tag: "Refused"; readonly reason: Refusal; readonly state: State }

/** The database could not decide now; the same call may succeed later. */
export class Undecided extends Data.TaggedError("Undecided")<{
  readonly operation: "apply" | "current"
  readonly cause: { readonly message: string }
}> {
  readonly retryable = true
  override get message() {
    return `remote write: ${this.cause.message}`
  }
}

/** Decides on remote writes. */
export class RemoteWrites extends Context.Tag("@twinbox/outbox/RemoteWrites")<
  RemoteWrites,
  {
    /**
     * Applies a write once, however often it is given, and tells what the database has afterwards. Writes of one key
     * have to be given in the order in which they were accepted, one after the other.
     */
    readonly apply: (write: RemoteWrite) => Effect.Effect<Verdict, Undecided>
    /** What the database has of a key now. */
    readonly current: (key: Key) => Effect.Effect<State, Undecided>
  }
>() {}
