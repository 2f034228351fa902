import { type Context, Duration, Effect, Fiber, FiberHandle, Metric, Schedule } from "effect"
import * as Backoff from "./Backoff.ts"
import { Holding, monotonicMillis } from "./Holding.ts"
import { InFlight } from "./InFlight.ts"
import type * as LaneState from "./LaneState.ts"
import * as Membership from "./Membership.ts"
import type { OutboxError } from "./OutboxError.ts"
import { OutboxError as StoreFailure } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { OutboxStore, RegisteredSink, SlotState, View } from "./OutboxStore.ts"
import * as RelayLane from "./RelayLane.ts"
import * as RelayReader from "./RelayReader.ts"
import * as RelaySettler from "./RelaySettler.ts"
import type { Sink } from "./Sink.ts"

export interface LaneSettings extends Omit<LaneState.Options, "canFallBehind" | "sweepEvery"> {
  /** Calls at once, each with keys of its own. */
  readonly concurrency: number
}

export interface Settings {
  readonly sinks: ReadonlyArray<{ readonly sink: Sink; readonly settings: LaneSettings }>
  readonly leaseMillis: number
  readonly maxInFlight: number
  readonly drainWithin: Duration.DurationInput
  readonly reader: RelayReader.Options
}

/** What can be seen of a term from outside. */
export interface Term {
  readonly owner: string
  readonly holding: Holding
  readonly inFlight: InFlight
  readonly lanes: ReadonlyArray<RelayLane.RelayLane>
  readonly mode: () => RelayReader.Mode
}

/** Heartbeats in one lease: two may be lost without harm. */
const beatsPerLease = 3

/** Records that no read comes across are searched for this rarely. */
const orphanSweepMillis = 600_000

const leaseChange = (change: "gained" | "released" | "lost", slots: number) =>
  Metric.incrementBy(Metric.tagged(OutboxMetrics.leaseChanges, "change", change), slots)

const tryAgain = Backoff.between("50 millis", "1 second")

/**
 * One membership of a relay, from joining to leaving or being expelled. It works until interrupted, then finishes what
 * is on its way and gives its slots back; it fails with `StaleLease` when it was expelled, and leaves everything as it
 * is: the slots have other owners by then.
 */
export const run = (
  store: Context.Tag.Service<OutboxStore>,
  owner: string,
  settings: Settings,
  started: (term: Term) => void
): Effect.Effect<never, OutboxError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const holding = new Holding(owner)
      const inFlight = new InFlight(settings.maxInFlight)
      const silence = new Membership.Silence()
      const beatEvery = Duration.millis(settings.leaseMillis / beatsPerLease)
      /** Slots that are about to be given back: nothing new of them is taken in. */
      const yielding = new Set<number>()
      let registered: ReadonlyArray<RegisteredSink> = []
      let sweptOrphansAt = yield* monotonicMillis
      let isExpelled = false

      /** Of work beside the heartbeats. */
      let failure: OutboxError | undefined
      const noteFailure = (work: Effect.Effect<void, OutboxError>) =>
        Effect.catchAll(work, (error) =>
          error.retryable
            ? Effect.logWarning(`${error.message}; trying again`)
            : Effect.sync(() => void (failure = error))
        )

      const lost = new StoreFailure({ reason: "StaleLease", operation: "beat" })
      const takes = (slot: number) => holding.owns(slot) && !yielding.has(slot)
      const ownNames = new Set(settings.sinks.map(({ sink }) => sink.name))
      const missingSinks = (topic: string) =>
        registered
          .filter((sink) => !ownNames.has(sink.name) && sink.topics.includes(topic))
          .map(({ name }) => name)

      const settler: RelaySettler.Settler = yield* RelaySettler.make({
        store,
        inFlight,
        owns: (slot) => holding.owns(slot),
        leaseOf: holding.leaseOf,
        written: (deliveries) => lanes.forEach((lane) => lane.written(deliveries))
      })
      const shared: LaneState.Shared = {
        store,
        finished: settler.offer,
        leaseOf: holding.leaseOf,
        permitted: holding.permitted,
        persistently: RelaySettler.persistently
      }
      const lanes: ReadonlyArray<RelayLane.RelayLane> = settings.sinks.map(({ settings: lane, sink }) =>
        RelayLane.makeParallel(
          sink,
          { ...lane, canFallBehind: settings.sinks.length > 1, sweepEvery: settings.reader.sweepEvery },
          shared,
          lane.concurrency
        )
      )
      const reader = RelayReader.make(
        { store, inFlight, lanes, settler, takes, missingSinks },
        settings.reader
      )
      started({ owner, holding, inFlight, lanes, mode: reader.mode })

      /** What is on its way of these slots may arrive; what does not in time is left to their next owner. */
      const drained = (slots: ReadonlySet<number>) =>
        Effect.sync(
          () =>
            [...slots].every((slot) => inFlight.countIn(slot) === 0) &&
            !lanes.some((lane) => lane.touches(slots))
        ).pipe(
          Effect.repeat({ until: (isDone) => isDone, schedule: Schedule.spaced("10 millis") }),
          Effect.interruptible,
          Effect.timeoutTo({
            duration: settings.drainWithin,
            onSuccess: () => Effect.void,
            onTimeout: () =>
              Effect.logWarning(
                "not everything was confirmed before slots were given back; it stays in the outbox"
              )
          }),
          Effect.flatten
        )

      const giveBack = (slots: ReadonlySet<number>) =>
        Effect.gen(function* () {
          for (const slot of slots) yielding.add(slot)
          yield* Effect.forEach(lanes, (lane) => lane.yieldSlots(slots), { discard: true })
          yield* drained(slots)
          const lease = holding.leaseOf(slots)
          holding.remove(slots)
          yield* Effect.forEach(lanes, (lane) => lane.drop(slots), { discard: true })
          yield* inFlight.abandon(slots)
          for (const slot of slots) yielding.delete(slot)
          yield* RelaySettler.persistently(store.release(lease))
          yield* leaseChange("released", slots.size)
        })

      const gain = (states: ReadonlyArray<SlotState>) =>
        Effect.gen(function* () {
          if (states.length === 0) return
          holding.add(states)
          const suspects = states.filter(({ suspect }) => suspect).map(({ slot }) => slot)
          const slots = states.map(({ slot }) => slot)
          for (const lane of lanes) lane.gain(slots, suspects)
          yield* leaseChange("gained", states.length)
          const suspect = suspects.length === 0 ? "" : `, ${suspects.length} of them not cleanly left`
          yield* Effect.logInfo(`owns ${holding.size} slots: ${states.length} gained${suspect}`)
          yield* FiberHandle.run(reading, reader.run([...holding.slots]))
        })

      const expel = (view: View) =>
        Effect.gen(function* () {
          const others = view.members.filter((member) => member.owner !== owner)
          const silent = silence.observe(others, yield* monotonicMillis)
          const gone = new Set<string>()
          for (const member of silent) {
            if (!(yield* store.expel(member))) continue
            gone.add(member.owner)
            yield* Effect.logWarning(`relay ${member.owner} has fallen silent; its slots are taken over`)
          }
          return { ...view, members: view.members.filter((member) => !gone.has(member.owner)) }
        })

      /** Slots out of which everything that could have killed a process has been delivered are suspect no more. */
      const clearSuspects = Effect.gen(function* () {
        if (reader.mode() !== "live") return
        const cleared: Array<number> = []
        for (const slot of holding.slots) {
          const suspecting = lanes.filter((lane) => lane.isSuspect(slot))
          if (suspecting.length === 0 || inFlight.countIn(slot) > 0) continue
          const past = suspecting.filter((lane) => lane.flows(slot))
          for (const lane of past) lane.clearSuspect(slot)
          if (past.length === suspecting.length) cleared.push(slot)
        }
        if (cleared.length > 0) yield* store.clearSuspects(holding.leaseOf(cleared))
      })

      const sweepOrphans = Effect.gen(function* () {
        const now = yield* monotonicMillis
        if (now - sweptOrphansAt < orphanSweepMillis || holding.size === 0) return
        sweptOrphansAt = now
        const { corrupt, mended } = yield* store.sweepOrphans(holding.leaseOf(holding.slots))
        if (corrupt.length > 0) yield* reader.bury(corrupt)
        if (mended > 0) yield* Effect.logWarning(`${mended} outbox records were owed to nobody; mended`)
      })

      const promote = (view: View) =>
        Effect.gen(function* () {
          const slots = [...holding.slots]
          if (view.isDue && slots.length > 0 && (yield* store.promote(slots)) > 0) yield* reader.look(slots)
        })

      /** Work that can take long goes on beside the heartbeats. */
      let areChoresUnderWay = false
      const chores = (view: View) =>
        Effect.suspend(() => {
          areChoresUnderWay = true
          return noteFailure(Effect.zipRight(promote(view), sweepOrphans))
        }).pipe(Effect.ensuring(Effect.sync(() => (areChoresUnderWay = false))))

      const heartbeat = (leaving: boolean) =>
        Effect.gen(function* () {
          const sentAt = yield* monotonicMillis
          const view = yield* store.beat(owner, leaving)
          holding.renew(sentAt, settings.leaseMillis)
          return view
        })

      /** Acts on what a heartbeat has found. */
      const act = (found: View) =>
        Effect.gen(function* () {
          if (found.slots.some((slot) => holding.isLost(slot))) return yield* lost
          registered = found.sinks
          const changed = holding.changed(found.slots)
          if (changed.length > 0) lanes.forEach((lane) => lane.recheck(changed))
          const view = yield* expel(found)
          const held = new Set([...holding.slots].filter((slot) => !yielding.has(slot)))
          const plan = Membership.plan(view, owner, held, yielding)
          if (plan.claim.length > 0) yield* gain(yield* store.claim(owner, plan.claim))
          if (plan.release.length > 0 && yielding.size === 0) {
            yield* Effect.forkIn(noteFailure(giveBack(new Set(plan.release))), scope)
          }
          yield* clearSuspects
          if (!areChoresUnderWay) yield* Effect.forkIn(chores(view), scope)
          yield* Metric.set(OutboxMetrics.slots, holding.size)
          return undefined
        })

      /** What can pass is tried again with the next heartbeat, which comes sooner then. */
      const beat = heartbeat(false).pipe(
        Effect.flatMap(act),
        Effect.as(beatEvery),
        Effect.catchIf(
          (error) => error.reason !== "StaleLease",
          (error) =>
            Effect.as(Effect.logWarning(`${error.message}; trying again`), Duration.times(beatEvery, 0.25))
        ),
        Effect.flatMap(Effect.sleep)
      )

      const register = store.registerSinks(
        settings.sinks.map(({ sink }) => ({
          name: sink.name,
          topics: sink.topics.map((topic) => topic.name),
          isMirror: sink.isMirror ?? false
        }))
      )
      const retryable = <A>(effect: Effect.Effect<A, OutboxError>) =>
        Effect.retry(effect, { while: (error) => error.retryable, schedule: tryAgain })

      const scope = yield* Effect.scope
      // Finalizers run last first: the readers stop, what is on its way arrives, the workers end, the relay leaves.
      yield* retryable(register)
      yield* Effect.acquireRelease(retryable(store.join(owner, settings.leaseMillis)), () =>
        isExpelled
          ? Effect.void
          : Effect.ignoreLogged(
              Effect.timeout(Effect.interruptible(store.leave(owner)), settings.drainWithin)
            )
      )
      const workers = yield* Effect.forkScoped(
        Effect.all([settler.run, ...lanes.map((lane) => lane.run)], {
          concurrency: "unbounded",
          discard: true
        })
      )
      const stop = Effect.suspend(() =>
        isExpelled
          ? Effect.void
          : Effect.raceFirst(giveBack(holding.slots), Fiber.await(workers)).pipe(
              Effect.interruptible,
              Effect.timeout(Duration.sum(Duration.decode(settings.drainWithin), Duration.seconds(1))),
              Effect.ignoreLogged
            )
      )
      yield* Effect.addFinalizer(() => stop)
      const reading = yield* FiberHandle.make<never, OutboxError>()
      const beats = Effect.forever(
        Effect.zipRight(
          Effect.suspend(() => (failure === undefined ? Effect.void : Effect.fail(failure))),
          beat
        )
      )
      return yield* Effect.raceFirst(
        beats,
        Effect.zipRight(Effect.raceFirst(FiberHandle.join(reading), Fiber.join(workers)), Effect.never)
      ).pipe(
        Effect.tapError((error) =>
          Effect.suspend(() => {
            isExpelled = error.reason === "StaleLease"
            return isExpelled ? leaseChange("lost", holding.size) : Effect.void
          })
        )
      )
    })
  )
