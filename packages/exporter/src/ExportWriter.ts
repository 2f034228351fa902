import { createHash } from "node:crypto"
import { Effect, Fiber, type Scope } from "effect"
import type { Compressor } from "./Compressor.ts"
import type { Encoder } from "./ExportFormat.ts"
import type { ExportRecord } from "./ExportRecord.ts"
import type { ExportStore, Writer } from "./ExportStore.ts"
import * as Halt from "./Halt.ts"
import { TextBuffer } from "./TextBuffer.ts"
import { retrying, unlessHalted } from "./WhileRedisIsAway.ts"

export interface Options {
  readonly writer: Writer
  readonly encoder: Encoder
  readonly compressor: Compressor
  /** How much is gathered for one append, about. */
  readonly chunkBytes: number
  /** The largest export, as stored. */
  readonly maxBytes: number
  /** How long a Redis that is away is waited for. */
  readonly patienceMillis: number
}

/**
 * Brings records to Redis in large appends. One append is under way while the next is gathered, so that whoever writes
 * waits for Redis and memory is bounded by two of them.
 */
export interface ExportWriter {
  readonly write: (records: Iterable<ExportRecord>) => Effect.Effect<void, Halt.Halt>
  /** Appends what was gathered, and waits until Redis has it. */
  readonly flush: Effect.Effect<void, Halt.Halt>
  /** Appends the rest, and ends the data. Returns its SHA-256 in hex. To be called once. */
  readonly close: Effect.Effect<string, Halt.Halt>
}

/** The export has begun already. Whatever is gathered or under way when the scope ends is dropped. */
export const make = (store: ExportStore, options: Options): Effect.Effect<ExportWriter, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { chunkBytes, compressor, encoder, maxBytes, writer } = options
    const scope = yield* Effect.scope
    const alone = yield* Effect.makeSemaphore(1)
    const hash = createHash("sha256")
    const gathered = new TextBuffer(2 * chunkBytes)
    /** Records that were encoded, of which those in `gathered` have not come further yet. */
    let records = 0
    /** What came out of the compressor. */
    let ready: Array<Buffer> = []
    let readyBytes = 0
    /** Whether the compressor may hold something back. */
    let isHolding = false
    let offset = 0
    let underWay: Fiber.Fiber<void, Halt.Halt> | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => compressor.destroy()))

    const confirmed = Effect.suspend(() => (underWay === undefined ? Effect.void : Fiber.join(underWay)))

    const append = Effect.gen(function* () {
      if (readyBytes === 0) return
      yield* confirmed
      if (offset + readyBytes > maxBytes) return yield* Halt.failed("TooLarge")
      const [only] = ready
      const bytes = ready.length === 1 && only !== undefined ? only : Buffer.concat(ready)
      const sending = store
        .append(writer, offset, bytes, records)
        .pipe(
          retrying(options.patienceMillis),
          Effect.flatMap(unlessHalted),
          Effect.asVoid,
          Effect.interruptible
        )
      yield* Effect.uninterruptible(
        Effect.gen(function* () {
          underWay = yield* Effect.forkIn(sending, scope)
          ready = []
          readyBytes = 0
          offset += bytes.length
          // First it is sent; then there is time.
          yield* Effect.yieldNow()
          hash.update(bytes)
        })
      )
      return
    })

    const collect = () => {
      for (const bytes of compressor.take()) {
        ready.push(bytes)
        readyBytes += bytes.length
      }
    }

    /** Hands bytes on. A compressor that fails is out of memory at the worst. */
    const compress = (bytes: Buffer) =>
      Effect.suspend(() => {
        if (bytes.length === 0) return Effect.void
        // What waits already keeps its buffer for longer than its turn.
        const lasting = compressor.keepsInput && readyBytes > 0 ? Buffer.from(bytes) : bytes
        isHolding = true
        return Effect.map(
          Effect.promise(() => compressor.push(lasting)),
          collect
        )
      })
    const compressGathered = Effect.uninterruptible(Effect.suspend(() => compress(gathered.take())))

    const handOn = Effect.gen(function* () {
      yield* compressGathered
      if (readyBytes >= chunkBytes || compressor.keepsInput) yield* append
    })

    const add = (text: string) =>
      Effect.gen(function* () {
        yield* handOn
        // One that is larger than the buffers goes past them.
        if (!gathered.add(text)) yield* Effect.uninterruptible(compress(Buffer.from(text)))
      })
    if (!gathered.add(encoder.header)) yield* compress(Buffer.from(encoder.header))

    const write: ExportWriter["write"] = (given) =>
      Effect.gen(function* () {
        for (const record of given) {
          let text: string
          try {
            text = encoder.encode(record)
          } catch {
            // What it says may quote the record.
            return yield* Halt.failed("Unencodable")
          }
          if (!gathered.add(text)) yield* add(text)
          records++
          if (gathered.size >= chunkBytes || readyBytes >= chunkBytes) yield* handOn
        }
        return
      })

    const flush = Effect.gen(function* () {
      yield* compressGathered
      if (isHolding) {
        yield* Effect.promise(() => compressor.flush())
        isHolding = false
        collect()
      }
      yield* append
      yield* confirmed
    })

    const close = Effect.gen(function* () {
      yield* compressGathered
      yield* Effect.promise(() => compressor.end())
      collect()
      yield* append
      yield* confirmed
      return hash.digest("hex")
    })

    return {
      write: (given) => alone.withPermits(1)(write(given)),
      flush: alone.withPermits(1)(flush),
      close: alone.withPermits(1)(close)
    }
  })
