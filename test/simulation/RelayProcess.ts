import { type OutboxError, OutboxStore, Relay, type Sink } from "@twinbox/outbox"
import {
  Cause,
  Effect,
  type Exit,
  type Fiber,
  FiberId,
  Logger,
  LogLevel,
  Random,
  Runtime,
  RuntimeFlags
} from "effect"
import type { Machine } from "./Machine.ts"
import type { Network } from "./Network.ts"
import type { Store } from "./RelayStore.ts"
import type { Scenario } from "./Scenario.ts"

/** Counting fibers costs time, and nobody looks. */
const withoutMetrics = Runtime.disableRuntimeFlag(Runtime.defaultRuntime, RuntimeFlags.RuntimeMetrics)

export interface Parts {
  readonly machine: Machine
  readonly network: Network
  readonly store: Store
  readonly sinks: ReadonlyArray<Sink.Sink>
  readonly seed: number
}

/** A process that runs a relay, on a machine of its own. */
export class RelayProcess {
  readonly machine: Machine
  readonly network: Network
  readonly sinkNames: ReadonlyArray<string>
  isStopping = false
  readonly #parts: Parts
  readonly #scenario: Scenario
  #relay: { readonly status: Effect.Effect<Relay.Status> } | undefined
  #fiber: Fiber.RuntimeFiber<never, OutboxError.OutboxError> | undefined

  constructor(parts: Parts, scenario: Scenario) {
    this.machine = parts.machine
    this.network = parts.network
    this.sinkNames = parts.sinks.map(({ name }) => name)
    this.#parts = parts
    this.#scenario = scenario
  }

  /** @param ended is told why it has ended; undefined: it was stopped */
  start(ended: (failure: string | undefined) => void): void {
    const { machine, seed, store } = this.#parts
    const program = Effect.flatMap(Relay.make(this.#options()), (relay) => {
      this.#relay = relay
      return relay.run
    }).pipe(
      Effect.provideService(OutboxStore.OutboxStore, store),
      Logger.withMinimumLogLevel(LogLevel.None),
      Effect.withTracerEnabled(false),
      Effect.withClock(machine.clock),
      Effect.withRandom(Random.make(seed))
    )
    this.#fiber = Runtime.runFork(withoutMetrics)(program, { scheduler: machine })
    this.#fiber.addObserver((exit: Exit.Exit<never, OutboxError.OutboxError>) => {
      const isStopped = exit._tag === "Failure" && Cause.isInterruptedOnly(exit.cause)
      machine.crash()
      ended(isStopped || exit._tag === "Success" ? undefined : Cause.pretty(exit.cause))
    })
  }

  /** Stops it in the clean way. */
  stop(): void {
    this.isStopping = true
    this.machine.post(() => this.#fiber?.unsafeInterruptAsFork(FiberId.none))
  }

  /** Undefined: not started yet. */
  status(): Relay.Status | undefined {
    return this.#relay === undefined ? undefined : Effect.runSync(this.#relay.status)
  }

  #options(): Relay.Options {
    const { drainMillis, leaseMillis, maxInFlight, sinks, sweepMillis } = this.#scenario
    const lanes = sinks.map((sink): [string, Relay.LaneOptions] => [
      sink.name,
      {
        batchSize: sink.batchSize,
        concurrency: sink.concurrency,
        sinkTimeout: sink.timeoutMillis,
        patience: sink.patienceMillis,
        maxQueue: sink.maxQueue,
        afterDeadLetter: sink.afterDeadLetter,
        retry: { maxAttempts: sink.maxAttempts, firstDelayMillis: 20, factor: 3, maxDelayMillis: 1_000 }
      }
    ])
    return {
      sinks: this.#parts.sinks,
      lanes: Object.fromEntries(lanes),
      owner: this.machine.name,
      lease: leaseMillis,
      sweepEvery: sweepMillis,
      drainWithin: drainMillis,
      maxInFlight
    }
  }
}
