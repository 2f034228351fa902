import type { RedisOutbox } from "@twinbox/redis"
import { Effect, Option, Random } from "effect"
import { type Customer, type Repository, upTo } from "./twoWayWorld.ts"

/** So few that both sides meet at them all the time. */
export const ids = ["a", "b", "c", "d", "e"]
const names = ["Ada", "Bob", "Eve"]

/** What writes went through, by id: each of them has made one version. */
export class Tally {
  readonly #made = new Map<string, number>()
  #marks = 0

  /** A value that no other write has: so none leaves things as they are. */
  mark(): number {
    return (this.#marks += 1)
  }

  add(id: string, count = 1): void {
    this.#made.set(id, (this.#made.get(id) ?? 0) + count)
  }

  get total(): number {
    return [...this.#made.values()].reduce((sum, count) => sum + count, 0)
  }

  get versions(): ReadonlyArray<readonly [id: string, version: number]> {
    return [...this.#made].filter(([, count]) => count > 0).toSorted()
  }
}

const operations = ["create", "replace", "patch", "patch", "patch", "delete"] as const

const drawId = Effect.map(Random.nextIntBetween(0, ids.length), (at) => ids[at] ?? "")

/** What a writer does next with a customer that it has seen, or not found. */
const draw = (tally: Tally, isThere: boolean) =>
  Effect.gen(function* () {
    const mark = tally.mark()
    const isBlind = (yield* Random.next) < 0.2
    const any = operations[yield* Random.nextIntBetween(0, operations.length)] ?? "create"
    return {
      operation: isThere || isBlind ? any : "create",
      isConditional: (yield* Random.next) < 0.3,
      mark,
      whole: { name: names[mark % names.length] ?? "", left: mark, right: mark }
    }
  })

/** One write in MongoDB, of whatever comes to mind; that it may be refused is part of it. */
export const writeV1 = (customers: Repository, tally: Tally) =>
  Effect.gen(function* () {
    const id = yield* drawId
    const known = Option.getOrUndefined(yield* customers.get(id))
    const { isConditional, mark, operation, whole } = yield* draw(tally, known !== undefined)
    const expected = isConditional ? known?.version : undefined
    yield* upTo(5)
    switch (operation) {
      case "create":
        yield* customers.create({ ...whole, _id: id })
        break
      case "replace":
        yield* customers.replace(id, whole, expected)
        break
      case "patch":
        yield* customers.patch(id, { left: mark }, expected)
        break
      case "delete":
        yield* customers.delete(id, expected)
    }
    tally.add(id)
  }).pipe(
    Effect.catchTags({
      DuplicateKey: () => Effect.void,
      NotFound: () => Effect.void,
      VersionConflict: () => Effect.void,
      WriteContention: () => Effect.void
    })
  )

/** One write in Redis. */
export const writeV2 = (outbox: RedisOutbox.RedisOutbox, tally: Tally) =>
  Effect.gen(function* () {
    const id = yield* drawId
    const shown = Option.getOrUndefined(yield* outbox.get(id))
    const { isConditional, mark, operation, whole } = yield* draw(tally, shown !== undefined)
    yield* upTo(5)
    const expected = isConditional && shown !== undefined ? { expectedVersion: shown.version } : {}
    if (operation !== "patch") {
      yield* outbox.write({ operation, id, document: operation === "delete" ? null : whole, ...expected })
    } else if (shown !== undefined) {
      const patch = { right: mark }
      const document = { ...(shown.document as Customer), ...patch }
      yield* outbox.write({ operation, id, document, patch, basis: shown, ...expected })
    } else return
    tally.add(id)
  }).pipe(Effect.catchTag("WriteRefused", () => Effect.void))
