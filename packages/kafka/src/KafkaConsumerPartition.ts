import type { Duration } from "effect"
import { type Cause, Chunk, Effect, Fiber, Queue } from "effect"
import type { Apply } from "./KafkaConsumerApply.ts"
import { Progress } from "./KafkaConsumerProgress.ts"
import type { RawRecord } from "./KafkaConsumerRecord.ts"

export interface Limits {
  /** No more is fetched while so many records are held. */
  readonly maxRecords: number
  /** The same in bytes of keys, values and headers. */
  readonly maxBytes: number
  /** Records of different keys that are worked on at once. Those of one key never are. */
  readonly keysAtOnce: number
  /** Records that share a transaction, at most. */
  readonly recordsPerTransaction: number
}

/** A record on its way, and what finishes it. */
interface Held {
  readonly record: RawRecord
  readonly finish: () => void
}

interface Lane {
  readonly queue: Queue.Queue<Held>
  readonly fiber: Fiber.RuntimeFiber<void>
}

const bytesOf = ({ headers, key, value }: RawRecord): number => {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, text] of headers) bytes += name.length + (text?.length ?? 0)
  return bytes
}

/** FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
const hash = (key: Buffer): number => {
  let value = 0x811c9dc5
  for (const byte of key) value = Math.imul(value ^ byte, 0x01000193)
  return value >>> 0
}

/** A partition that this consumer has, with the records that it holds of it. */
export class Partition {
  readonly topic: string
  readonly partition: number
  /** Where others go on if this consumer goes away. */
  committed: bigint
  /** Where the partition ends, as far as this consumer knows. */
  end: bigint
  /** Until then nothing is fetched, in milliseconds of the monotonic clock. */
  restsUntil = 0
  readonly #progress: Progress
  readonly #limits: Limits
  #lanes: ReadonlyArray<Lane> = []
  #records = 0
  #bytes = 0
  #isStopped = false

  constructor(topic: string, partition: number, from: bigint, limits: Limits) {
    this.topic = topic
    this.partition = partition
    this.committed = from
    this.end = from
    this.#progress = new Progress(from)
    this.#limits = limits
  }

  get name(): string {
    return `${this.topic}:${this.partition}`
  }

  /** Offset of the next record to fetch. */
  get next(): bigint {
    return this.#progress.next
  }

  /** All before it is done. */
  get finished(): bigint {
    return this.#progress.finished
  }

  /** Records held. */
  get records(): number {
    return this.#records
  }

  get lag(): number {
    return Math.max(0, Number(this.end - this.finished))
  }

  /** Whether it holds so much that nothing more is fetched. */
  get isPaused(): boolean {
    return this.#records >= this.#limits.maxRecords || this.#bytes >= this.#limits.maxBytes
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /**
   * Starts to work on records that come. Those of a key go through one lane, in order.
   *
   * @param onDefect called when a lane ends that should not
   */
  start(apply: Apply, onDefect: (cause: Cause.Cause<never>) => Effect.Effect<void>): Effect.Effect<void> {
    const { keysAtOnce } = this.#limits
    const startLane = Effect.flatMap(Queue.unbounded<Held>(), (queue) =>
      Effect.map(
        Effect.forkDaemon(
          Effect.tapErrorCause(this.#work(queue, apply), (cause) =>
            this.#isStopped ? Effect.void : onDefect(cause)
          )
        ),
        (fiber): Lane => ({ queue, fiber })
      )
    )
    return Effect.map(Effect.replicateEffect(startLane, keysAtOnce), (lanes) => {
      this.#lanes = lanes
    })
  }

  /** Takes records that were fetched, in order. Those before `next` are of a batch that began earlier. */
  take(records: ReadonlyArray<RawRecord>, next: bigint): void {
    if (this.#isStopped) return
    for (const record of records) {
      if (record.offset < this.#progress.next) continue
      const finish = this.#progress.take(record.offset)
      const bytes = bytesOf(record)
      this.#records += 1
      this.#bytes += bytes
      this.#laneOf(record)?.queue.unsafeOffer({
        record,
        finish: () => {
          this.#records -= 1
          this.#bytes -= bytes
          finish()
        }
      })
    }
    this.#progress.passTo(next)
  }

  /**
   * Begins no more, waits for what has begun, and interrupts what takes longer. What it still held is dropped: it
   * has not been committed.
   */
  stop(within: Duration.DurationInput): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isStopped = true
      const fibers = this.#lanes.map(({ fiber }) => fiber)
      return Effect.forEach(this.#lanes, ({ queue }) => Queue.shutdown(queue), { discard: true }).pipe(
        Effect.zipRight(Effect.interruptible(Effect.timeoutOption(Fiber.awaitAll(fibers), within))),
        // Not waited for: an effect that cannot be interrupted would keep the whole group waiting.
        Effect.zipRight(Effect.forEach(fibers, (fiber) => Fiber.interruptFork(fiber), { discard: true }))
      )
    })
  }

  #laneOf({ key }: RawRecord): Lane | undefined {
    return this.#lanes[key === null || this.#lanes.length === 1 ? 0 : hash(key) % this.#lanes.length]
  }

  #work(queue: Queue.Queue<Held>, apply: Apply): Effect.Effect<void> {
    const { recordsPerTransaction } = this.#limits
    return Queue.takeBetween(queue, 1, recordsPerTransaction).pipe(
      Effect.map(Chunk.toReadonlyArray),
      Effect.flatMap((held) =>
        Effect.zipRight(
          apply(held.map(({ record }) => record)),
          Effect.sync(() => {
            for (const { finish } of held) finish()
          })
        )
      ),
      Effect.forever
    )
  }
}
