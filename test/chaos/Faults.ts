import type { RedisError } from "@twinbox/redis"
import type { SyncError } from "@twinbox/repository"
import { redisCommands, type RedisFailure, type ServiceError } from "@twinbox/services"
import { Duration, Effect, Option, Schedule } from "effect"
import type { MemberError } from "../setup/proxiedReplicaSet.ts"
import type { Kind, Planned } from "./ChaosPlan.ts"
import type { ChaosProcess } from "./ChaosProcess.ts"
import { type ChaosWorld, relayNameOf } from "./ChaosWorld.ts"
import * as TakeOver from "./TakeOver.ts"

/** The harness could not do what was planned. */
export type FaultError = MemberError | RedisError.RedisError | RedisFailure | ServiceError | SyncError

/** What faults have come to pass, and what they brought to light. Filled as the run goes on. */
export class FaultRecord {
  readonly counts = new Map<Kind, number>()
  /** Processes killed, servers among them. */
  kills = 0
  /** How long others needed to take over the slots of a relay killed while all else was well, in milliseconds. */
  readonly takeOverMillis: Array<number> = []
  /** What was not as it must be. */
  readonly incidents: Array<string> = []
  /** Faults under way. */
  readonly active = new Set<Planned>()
  /** Faults begun so far. */
  begun = 0
}

const hold = ({ holdMillis }: Planned) => Effect.sleep(Duration.millis(holdMillis))

const pick = <A>(list: ReadonlyArray<A>, { choice }: Planned): A =>
  list[Math.floor(choice * list.length)] as A

/** Faults at once, at most. */
export const atOnce = 2

/** Patience with relays that shall all work. */
const longestCalm = Duration.seconds(60)

/** Many leases: whoever takes longer does not do it at all. */
const longestTakeOver = Duration.seconds(60)

/** A server that comes back needs a moment, also until the port of its last life is free. */
const patience = Schedule.spaced("100 millis").pipe(Schedule.upTo("60 seconds"))

/** Applies planned faults to a world, and heals them. */
export const make = (world: ChaosWorld, record: FaultRecord) => {
  const gate = Effect.unsafeMakeSemaphore(atOnce)
  const mongoFaults = Effect.unsafeMakeSemaphore(1)
  const mirrorFaults = Effect.unsafeMakeSemaphore(1)

  const killed = Effect.sync(() => void (record.kills += 1))
  const killedIf = (wasThere: boolean) => Effect.when(killed, () => wasThere)

  const killRelay = (relay: ChaosProcess, { holdMillis }: Planned) =>
    Effect.flatMap(relay.kill(holdMillis), killedIf)

  const awaitCalm = TakeOver.awaitCalm(world.db, () =>
    world.relays.map((relay) => relayNameOf(relay.name, relay.starts()))
  )

  /** Nothing else is wrong: now the time that a take-over needs is the relays' own. */
  const killInCalm = (planned: Planned) =>
    Effect.gen(function* () {
      if (Option.isNone(yield* Effect.timeoutOption(awaitCalm, longestCalm))) {
        record.incidents.push("a relay got no slots for a minute, though all was well")
      }
      const relay = pick(world.relays, planned)
      const name = relayNameOf(relay.name, relay.starts())
      const [millis] = yield* Effect.all(
        [Effect.timeoutOption(TakeOver.measure(world.db, name), longestTakeOver), killRelay(relay, planned)],
        { concurrency: 2 }
      )
      if (Option.isNone(millis)) record.incidents.push(`nobody took over the slots of ${name}`)
      else if (millis.value !== undefined) record.takeOverMillis.push(millis.value)
    })

  /** What the mirror says, once its server answers. */
  const mirrorIsReady = Effect.retry(world.mirror.ready, patience)

  const expectReady = (expected: boolean, when: string) =>
    Effect.map(mirrorIsReady, (isReady) => {
      if (isReady === expected) return
      record.incidents.push(`the mirror says that it is ${expected ? "not " : ""}ready ${when}`)
    })

  /** A mirror that lost its data must say so, under load, until it is rebuilt. */
  const mendMirror = (planned: Planned) =>
    Effect.gen(function* () {
      yield* expectReady(false, "right after the loss of its data")
      yield* hold(planned)
      yield* expectReady(false, "though nobody has rebuilt it")
      yield* Effect.retry(world.rebuildMirror, patience)
      yield* expectReady(true, "after it was rebuilt")
    })

  const loseNetwork = (planned: Planned, traffic: "cut" | "hangs") => {
    const way = pick(world.ways, planned)
    return Effect.acquireUseRelease(
      way.set(traffic),
      () => hold(planned),
      () => way.set("flows")
    )
  }

  const { mirrorServer } = world
  const killMirror = Effect.zipRight(mirrorServer.kill("SIGKILL"), killed)

  const apply: Readonly<Record<Kind, (planned: Planned) => Effect.Effect<void, FaultError>>> = {
    "kill relay": (planned) => killRelay(pick(world.relays, planned), planned),
    "kill relay in calm": killInCalm,
    "freeze relay": (planned) => pick(world.relays, planned).freeze(planned.holdMillis),
    "kill writer": (planned) =>
      Effect.flatMap(pick(world.writers, planned).kill(planned.holdMillis), killedIf),
    "step primary down": () => mongoFaults.withPermits(1)(world.mongo.stepDown),
    "kill primary": (planned) =>
      world.mongo
        .killPrimary(Effect.zipRight(killed, hold(planned)))
        .pipe(Effect.zipRight(world.mongo.awaitHealthy), mongoFaults.withPermits(1)),
    "restart mirror": (planned) =>
      killMirror.pipe(
        Effect.zipRight(hold(planned)),
        Effect.zipRight(Effect.retry(mirrorServer.start, patience)),
        Effect.zipRight(expectReady(true, "after a restart with its data")),
        mirrorFaults.withPermits(1)
      ),
    "flush mirror": (planned) =>
      redisCommands(mirrorServer.uri, [["FLUSHALL"]]).pipe(
        Effect.zipRight(mendMirror(planned)),
        mirrorFaults.withPermits(1)
      ),
    "wipe mirror": (planned) =>
      killMirror.pipe(
        Effect.zipRight(Effect.retry(mirrorServer.restart({ wipe: true }), patience)),
        Effect.zipRight(mendMirror(planned)),
        mirrorFaults.withPermits(1)
      ),
    "cut network": (planned) => loseNetwork(planned, "cut"),
    "hang network": (planned) => loseNetwork(planned, "hangs")
  }

  return (planned: Planned): Effect.Effect<void, FaultError> =>
    Effect.acquireUseRelease(
      Effect.sync(() => {
        record.begun += 1
        record.active.add(planned)
      }),
      () => apply[planned.kind](planned),
      () =>
        Effect.sync(() => {
          record.active.delete(planned)
          record.counts.set(planned.kind, (record.counts.get(planned.kind) ?? 0) + 1)
        })
    ).pipe(gate.withPermits(planned.kind === "kill relay in calm" ? atOnce : 1))
}
