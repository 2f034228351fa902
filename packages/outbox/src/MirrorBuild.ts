import { Data, type Effect, type Option, type Scope } from "effect"
import type { Key } from "./Key.ts"
import type { MirrorUnavailable, MirrorView } from "./MirrorView.ts"

/*
 * The port by which a mirror is built anew beside the one that is read, checked, and swapped in key by key while
 * messages are delivered to it. Whatever order states and messages come in, the highest version of a key wins.
 *
 * Most `maxKeys` of MirrorView apply to every call.
 */

/** What the database has of a key. */
export interface State {
  readonly key: Key
  readonly version: number
  /** JSON text, as messages have it; null: the record is gone. */
  readonly payload: string | null
}

/** A part of what is to be read, and where its rest begins: a text of the caller's own. */
export interface Part {
  readonly number: number
  readonly rest: string
}

/** What became of one chunk of the states that stood aside. */
export interface Swapped {
  /** Keys that show something else now, or had a tombstone made. */
  readonly written: number
  /** Keys that showed it already. */
  readonly same: number
  /** Keys that hold a write which the database has not decided on: they are left to it. */
  readonly pending: number
  /** Keys that hold something that is no record of a mirror: they are left alone. */
  readonly foreign: number
  /** Keys of which the mirror has a higher version: they are left as they are, and the database tells whether that is so. */
  readonly newer: ReadonlyArray<Key>
}

/** What a mirror held of a key at one moment. Opaque, and good for `settle` alone. */
export type Sight = string

/** A key that was looked at in the mirror, and afterwards in the database. */
export interface Settlement {
  readonly key: Key
  readonly seen: Sight
  /** Undefined: the database knows nothing of it. */
  readonly state: State | undefined
}

/** Somebody else rebuilds this mirror just now, or has taken this rebuild over. */
export class RebuildUnderWay extends Data.TaggedError("RebuildUnderWay")<{ readonly mirror: string }> {
  readonly retryable = false
  override get message() {
    return `another rebuild of the mirror '${this.mirror}' is under way: wait until it has ended`
  }
}

/** What stood aside, or data of the mirror itself, was lost meanwhile. What it shows stays as it is until a new build. */
export class BuildLost extends Data.TaggedError("BuildLost")<{ readonly mirror: string }> {
  readonly retryable = false
  override get message() {
    return `the mirror '${this.mirror}' lost data while it was rebuilt: rebuild it again`
  }
}

/** There is no memory for a second copy. */
export class MirrorFull extends Data.TaggedError("MirrorFull")<{ readonly mirror: string }> {
  readonly retryable = false
  override get message() {
    return `the mirror '${this.mirror}' has no memory left to be rebuilt aside: it needs room for everything twice`
  }
}

/** The mirror refused a call, and waiting does not help: a person has to do something first. */
export class MirrorRefused extends Data.TaggedError("MirrorRefused")<{
  readonly mirror: string
  /** Without values and credentials. */
  readonly cause: { readonly message: string }
}> {
  readonly retryable = false
  override get message() {
    return `the mirror '${this.mirror}' cannot be rebuilt: ${this.cause.message}`
  }
}

export type BuildError = MirrorUnavailable | MirrorRefused | RebuildUnderWay | BuildLost | MirrorFull

/** One build, and the right to work on it, which ends with its scope. What stands aside stays for the next one. */
export interface Build {
  /** Whether it goes on with what another one has begun. */
  readonly isResumed: boolean
  /** States that stood aside at its beginning. */
  readonly staged: number
  /** What is still to be read. */
  readonly parts: ReadonlyArray<Part>
  /** Puts states of a part aside and notes where its rest begins (undefined: it has none), both or neither. */
  readonly stage: (
    part: Part,
    states: ReadonlyArray<State>,
    rest: string | undefined
  ) => Effect.Effect<void, BuildError>
  /** Compares all that stands aside with what was given. Returns how many states there are. */
  readonly check: Effect.Effect<number, BuildError>
  /** Swaps the next chunk in. None: there are no more. */
  readonly swapNext: Effect.Effect<Option.Option<Swapped>, BuildError>
  /** What the mirror holds of each key; undefined: something that is not to be changed. */
  readonly look: (keys: ReadonlyArray<Key>) => Effect.Effect<ReadonlyArray<Sight | undefined>, BuildError>
  /** Gives keys the state of the database, whatever their versions, if they are still as they were seen. Returns how many it changed. */
  readonly settle: (settlements: ReadonlyArray<Settlement>) => Effect.Effect<number, BuildError>
  /** Says that the mirror has everything, if it has lost nothing since the build began, and forgets the build. */
  readonly finish: Effect.Effect<void, BuildError>
  /** Removes what stands aside. */
  readonly abandon: Effect.Effect<void, BuildError>
}

export interface OpenOptions<E> {
  /** By what states are made of documents: a build that was begun under other rules is not gone on with. */
  readonly rules: string
  /** Begins anew though another build could be gone on with. */
  readonly fresh: boolean
  /** The rests of all parts, for a new build. */
  readonly plan: Effect.Effect<ReadonlyArray<string>, E>
}

export interface MirrorBuild {
  readonly mirror: MirrorView
  /** Goes on with a build that its builder has left, or begins one. One builder at a time. */
  readonly open: <E>(options: OpenOptions<E>) => Effect.Effect<Build, BuildError | E, Scope.Scope>
}
