import { Readable } from "node:stream"
import { Chunk, Effect, Option, Stream } from "effect"
import type { ExportRecord } from "./ExportRecord.ts"

/** Where the records of an export come from. A Readable is in object mode. */
export type ExportSource = Stream.Stream<ExportRecord, unknown> | Readable | AsyncIterable<ExportRecord>

/** Records that are handed on together at most. */
const maxChunk = 512

const isStream = (source: ExportSource): source is Stream.Stream<ExportRecord, unknown> =>
  Stream.StreamTypeId in source

type Next = Promise<IteratorResult<ExportRecord>>

const turnIsOver = Symbol("the turn is over")

/** Takes what an iterator has at hand, and waits only for the first. */
const takerOf = (iterator: AsyncIterator<ExportRecord>) => {
  let next: Next | undefined
  return async (): Promise<Option.Option<Chunk.Chunk<ExportRecord>>> => {
    const records: Array<ExportRecord> = []
    const first = await (next ?? iterator.next())
    next = undefined
    if (first.done === true) return Option.none()
    records.push(first.value)
    const turn = new Promise<typeof turnIsOver>((resolve) => setImmediate(resolve, turnIsOver))
    while (records.length < maxChunk) {
      const asked: Next = iterator.next()
      // An end or an error is met again when it is waited for: first comes what there was before.
      const result = await Promise.race([asked, turn]).catch((): typeof turnIsOver => turnIsOver)
      if (result === turnIsOver || result.done === true) {
        next = asked
        asked.catch(() => undefined)
        break
      }
      records.push(result.value)
    }
    return Option.some(Chunk.unsafeFromArray(records))
  }
}

/** Ends an iterator. A generator that waits for something ends only when that comes: nobody waits for it. */
const close = (source: Readable | AsyncIterable<ExportRecord>, iterator: AsyncIterator<ExportRecord>) =>
  Effect.sync(() => {
    if (source instanceof Readable) source.destroy()
    iterator.return?.().then(
      () => undefined,
      () => undefined
    )
  })

const fromIterable = (source: Readable | AsyncIterable<ExportRecord>): Stream.Stream<ExportRecord, unknown> =>
  Stream.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => source[Symbol.asyncIterator]() as AsyncIterator<ExportRecord>),
        (iterator) => close(source, iterator)
      ),
      (iterator) => {
        const take = takerOf(iterator)
        return Stream.repeatEffectChunkOption(
          Effect.tryPromise({ try: take, catch: Option.some }).pipe(
            Effect.flatMap(Option.match({ onNone: () => Effect.fail(Option.none()), onSome: Effect.succeed }))
          )
        )
      }
    )
  )

/** The records as a stream. When it ends, however it does, so does the source: finalizers, `destroy`, `return`. */
export const toStream = (source: ExportSource): Stream.Stream<ExportRecord, unknown> =>
  isStream(source) ? source : fromIterable(source)

const fixedName = /^[A-Za-z][A-Za-z0-9]{0,63}$/

/** The name of an error and nothing else of it: the rest may quote records. */
export const errorName = (error: unknown): string => {
  const name =
    typeof error === "object" && error !== null
      ? "_tag" in error
        ? String(error._tag)
        : error instanceof Error
          ? error.name
          : ""
      : ""
  return fixedName.test(name) ? name : "error"
}
