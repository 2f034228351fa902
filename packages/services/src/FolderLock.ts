import { randomUUID } from "node:crypto"
import { linkSync, renameSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Clock, Data, Duration, Effect, Option, Schema } from "effect"
import { readJson } from "./JsonFile.ts"
import { isAlive, ownIdentity, ProcessIdentity } from "./ProcessIdentity.ts"

const Holder = Schema.Struct({ token: Schema.String, process: ProcessIdentity })

/** Another living process holds the lock of this folder. */
export class FolderLocked extends Data.TaggedError("FolderLocked")<{ readonly folder: string }> {}

const discard = (path: string): void => {
  try {
    unlinkSync(path)
  } catch {
    // Already gone, which is what was wanted.
  }
}

/** A link appears with its content at once, and only one process can make it. */
const tryLink = (from: string, to: string): boolean => {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false
    throw error
  }
}

const removeStale = (path: string): void => {
  const holder = readJson(Holder, path)
  if (Option.isNone(holder) || isAlive(holder.value.process)) return
  const aside = `${path}.${randomUUID()}`
  try {
    renameSync(path, aside)
  } catch {
    return // Somebody else removed it first.
  }
  const moved = readJson(Holder, aside)
  // Somebody else may have replaced the stale lock in between: then theirs goes back.
  if (Option.isSome(moved) && moved.value.token !== holder.value.token) tryLink(aside, path)
  discard(aside)
}

const tryTake = (folder: string, path: string, token: string): boolean => {
  const draft = join(folder, `lock.${token}`)
  writeFileSync(draft, JSON.stringify({ token, process: ownIdentity() }))
  try {
    if (tryLink(draft, path)) return true
    removeStale(path)
    return tryLink(draft, path)
  } finally {
    discard(draft)
  }
}

const pollEvery: Duration.DurationInput = "50 millis"

/** Only the waiting may be interrupted: a lock that was taken is always given back. */
const takeLock = (folder: string, path: string, limit: Duration.DurationInput) =>
  Effect.gen(function* () {
    const token = randomUUID()
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(limit)
    while (!tryTake(folder, path, token)) {
      if ((yield* Clock.currentTimeMillis) >= deadline) return yield* new FolderLocked({ folder })
      yield* Effect.interruptible(Effect.sleep(pollEvery))
    }
    return token
  })

/**
 * Runs an effect while this process alone holds the folder's lock, across fibers and processes. A lock whose
 * holder has died is taken over. Fails with `FolderLocked` when it is not free within `limit` (zero: one try).
 */
export const withFolderLock =
  (folder: string, limit: Duration.DurationInput) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | FolderLocked, R> => {
    const path = join(folder, "lock")
    return Effect.acquireUseRelease(
      takeLock(folder, path, limit),
      () => effect,
      (token) =>
        Effect.sync(() => {
          if (Option.exists(readJson(Holder, path), (holder) => holder.token === token)) discard(path)
        })
    )
  }
