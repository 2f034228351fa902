import { Key, MirrorBuild } from "@twinbox/outbox"
import { Array as Arr, Effect, Either, Option } from "effect"
import * as BuildEntry from "./BuildEntry.ts"
import type { BuildKeys } from "./BuildKeys.ts"
import * as BuildLedger from "./BuildLedger.ts"
import * as BuildScripts from "./BuildScripts.ts"
import * as Indexes from "./Indexes.ts"
import type { MirrorKeys } from "./MirrorKeys.ts"
import { listingValues } from "./RecordLua.ts"
import type { Command, Replies, Reply } from "./RedisConnection.ts"
import * as RedisOutboxKeys from "./RedisOutboxKeys.ts"
import * as RedisScript from "./RedisScript.ts"

type BuildError = MirrorBuild.BuildError

/** What all builds of a mirror share. */
export interface Settings {
  readonly mirror: string
  readonly names: BuildKeys
  /** Key of the mirror's marker. */
  readonly marker: string
  readonly records: MirrorKeys
  /** Only of originals. */
  readonly indexes: Indexes.Indexes | undefined
  /** 0: for ever. */
  readonly tombstoneMillis: number
  readonly leaseMillis: number
  readonly keepMillis: number
  /** Sends commands in one round trip. */
  readonly send: (commands: ReadonlyArray<Command>) => Effect.Effect<Replies, BuildError>
  readonly toBuildError: (error: Either.Either.Left<Replies[number]>) => BuildError
}

/** Chunks that are counted, or removed, in one round trip. */
const chunksAtOnce = 16

const toTexts = (reply: Reply): ReadonlyArray<string> => (Array.isArray(reply) ? reply.map(String) : [])

/** A hash or tombstone of another type belongs to something else. */
const isForeign = (reply: Replies[number] | undefined): boolean =>
  reply !== undefined && Either.isLeft(reply) && reply.left.reason === "WrongType"

const countOf = (all: ReadonlyArray<string>, one: string): number =>
  all.filter((answer) => answer === one).length

/** The value of a reply, or its error. */
export const valueOf = (
  { toBuildError }: Pick<Settings, "toBuildError">,
  reply: Replies[number] | undefined
): Effect.Effect<Reply, BuildError> =>
  reply === undefined
    ? Effect.dieMessage("a pipeline has a reply for each command")
    : Effect.mapError(reply, toBuildError)

export const removeChunks = (
  { names, send }: Pick<Settings, "names" | "send">,
  ledger: BuildLedger.BuildLedger
): Effect.Effect<void, BuildError> =>
  Effect.forEach(
    Arr.chunksOf(BuildLedger.standing(ledger), chunksAtOnce),
    (some) => send([["UNLINK", ...some.map((number) => names.chunk(ledger.build, number))]]),
    { discard: true }
  )

/** The steps of a build that is as far as `begun` says. */
export const make = (
  settings: Settings,
  builder: string,
  isResumed: boolean,
  begun: BuildLedger.BuildLedger
): MirrorBuild.Build => {
  const { indexes, mirror, names, records, send } = settings
  const { build } = begun
  const tombstoneMillis = String(settings.tombstoneMillis)
  const value = (reply: Replies[number] | undefined) => valueOf(settings, reply)
  const chunkOf = (number: number) => names.chunk(build, number)
  const lost = new MirrorBuild.BuildLost({ mirror })
  let { chunks, steps, swapped } = begun
  /** Keys in the next chunk to swap in, where they are known. */
  let next: ReadonlyArray<Key.Key> | undefined

  const guarded = (
    script: RedisScript.RedisScript,
    key: ReadonlyArray<string>,
    values: ReadonlyArray<string>
  ): Command =>
    RedisScript.call(
      script,
      [names.ledger, names.lock, ...key],
      [build, builder, String(steps), String(settings.leaseMillis), String(settings.keepMillis), ...values]
    )

  /** The value of a reply to a guarded call. */
  const granted = (reply: Replies[number] | undefined): Effect.Effect<Reply, BuildError> =>
    Effect.flatMap(value(reply), (answer): Effect.Effect<Reply, BuildError> => {
      if (answer === "Lost") return lost
      return answer === "UnderWay" ? new MirrorBuild.RebuildUnderWay({ mirror }) : Effect.succeed(answer)
    })

  const noteStep = (reply: Replies[number] | undefined) =>
    Effect.map(granted(reply), (count) => {
      steps = Math.max(steps, Number(count))
    })

  /** The keys by which scripts know a record. */
  const recordKeys = (key: Key.Key): ReadonlyArray<string> => {
    const hash = records.data(key)
    const keys = [hash, records.tombstone(hash)]
    return indexes === undefined ? keys : [...keys, RedisOutboxKeys.ids(records.prefix(key))]
  }

  const pairsOf = (payload: string | null): ReadonlyArray<string> =>
    payload === null || indexes === undefined ? [] : Indexes.pairs(indexes, JSON.parse(payload))

  const stage: MirrorBuild.Build["stage"] = (part, states, rest) =>
    Effect.suspend(() => {
      const number = ++chunks
      const entries = states.flatMap((state) => [state.key, BuildEntry.make(state, pairsOf(state.payload))])
      const values = [String(part.number), part.rest, rest ?? "", String(number), ...entries]
      return Effect.flatMap(send([guarded(BuildScripts.stage, [chunkOf(number)], values)]), ([reply]) =>
        noteStep(reply)
      )
    })

  const countSome = (numbers: ReadonlyArray<number>) =>
    Effect.flatMap(
      send(numbers.map((number) => RedisScript.call(BuildScripts.count, [chunkOf(number)], []))),
      Effect.forEach((reply) => Effect.map(value(reply), Number))
    )

  const check = Effect.gen(function* () {
    const numbers = Arr.chunksOf(BuildLedger.standing({ chunks, swapped }), chunksAtOnce)
    const counts = yield* Effect.forEach(numbers, countSome)
    const [reply] = yield* send([guarded(BuildScripts.total, [], [])])
    const sound = counts.flat().reduce((sum, count) => sum + count, 0)
    return sound === Number(yield* granted(reply)) ? sound : yield* lost
  })

  const swap = (chunk: string, key: Key.Key): Command =>
    RedisScript.call(
      BuildScripts.swap,
      [...recordKeys(key), chunk],
      [tombstoneMillis, key, records.prefix(key), Key.idOf(key)]
    )

  const keysIn = (number: number): Command => ["HKEYS", chunkOf(number)]

  /** One round trip, but for the first chunk. */
  const swapOne = (number: number) =>
    Effect.gen(function* () {
      const keys = next ?? toTexts(yield* value((yield* send([keysIn(number)]))[0]))
      next = undefined
      const replies = yield* send([
        ...keys.map((key) => swap(chunkOf(number), key)),
        guarded(BuildScripts.drop, [chunkOf(number)], [String(number)]),
        keysIn(number + 1)
      ])
      const answers = yield* Effect.forEach(replies.slice(0, keys.length), (reply) =>
        isForeign(reply) ? Effect.succeed("Foreign") : Effect.map(value(reply), String)
      )
      yield* noteStep(replies[keys.length])
      swapped = number
      next = toTexts(yield* value(replies[keys.length + 1]))
      return {
        written: countOf(answers, "Written"),
        same: countOf(answers, "Same"),
        pending: countOf(answers, "Pending"),
        foreign: countOf(answers, "Foreign"),
        newer: keys.filter((_, at) => answers[at] === "Newer")
      } satisfies MirrorBuild.Swapped
    })

  const look: MirrorBuild.Build["look"] = (keys) =>
    Effect.flatMap(
      send(keys.map((key) => RedisScript.call(BuildScripts.see, recordKeys(key), []))),
      Effect.forEach((reply) =>
        isForeign(reply)
          ? Effect.succeed(undefined)
          : Effect.map(value(reply), (sight) => (typeof sight === "string" ? sight : undefined))
      )
    )

  const settleOne = ({ key, seen, state }: MirrorBuild.Settlement): Command => {
    const payload = state?.payload ?? null
    return RedisScript.call(BuildScripts.settle, recordKeys(key), [
      seen,
      state === undefined ? "" : String(state.version),
      payload === null ? "" : "1",
      payload ?? "",
      tombstoneMillis,
      ...listingValues(records.prefix(key), Key.idOf(key), pairsOf(payload))
    ])
  }

  const settle: MirrorBuild.Build["settle"] = (settlements) =>
    Effect.flatMap(send(settlements.map(settleOne)), (replies) =>
      Effect.map(Effect.forEach(replies, value), (answers) => countOf(answers.map(String), "Written"))
    )

  const finish = Effect.gen(function* () {
    const generation = globalThis.crypto.randomUUID()
    const [reply] = yield* send([guarded(BuildScripts.finish, [settings.marker], [generation])])
    yield* granted(reply)
  })

  const abandon = Effect.suspend(() =>
    Effect.zipRight(
      removeChunks(settings, { ...begun, chunks, swapped }),
      Effect.asVoid(send([["DEL", names.ledger]]))
    )
  )

  return {
    isResumed,
    staged: begun.records,
    parts: begun.parts,
    stage,
    check,
    swapNext: Effect.suspend(() =>
      swapped < chunks ? Effect.asSome(swapOne(swapped + 1)) : Effect.succeed(Option.none())
    ),
    look,
    settle,
    finish,
    abandon
  }
}
