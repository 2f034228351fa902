import { type Context, Duration, Effect, Fiber, FiberHandle, Metric } from "effect"
import * as Backoff from "./Backoff.ts"
import * as HandOver from "./HandOver.ts"
import * as Membership from "./Membership.ts"
import * as MonotonicClock from "./MonotonicClock.ts"
import { OutboxError } from "./OutboxError.ts"
import * as OutboxMetrics from "./OutboxMetrics.ts"
import type { Lease, OutboxStore, SlotState, View } from "./OutboxStore.ts"
import * as RelayChores from "./RelayChores.ts"
import * as RelayParts from "./RelayParts.ts"

/** Heartbeats in one lease: two may be lost without harm. */
const beatsPerLease = 3

/** A heartbeat that failed is followed by another after this share of the usual pause. */
const sooner = 0.25

const tryAgain = Backoff.between("50 millis", "1 second")

const retryable = <A>(effect: Effect.Effect<A, OutboxError>) =>
  Effect.retry(effect, { while: (error) => error.retryable, schedule: tryAgain })

/** A finalizer that may take so long, and whose failure changes nothing. */
const within = (limit: Duration.DurationInput, effect: Effect.Effect<unknown, OutboxError>) =>
  Effect.ignoreLogged(Effect.timeout(Effect.interruptible(effect), limit))

const leaseOver = (owner: string, slots: ReadonlyArray<SlotState>): Lease => ({
  owner,
  epochs: new Map(slots.map(({ epoch, slot }) => [slot, epoch]))
})

/** Ends memberships of relays that have fallen silent. Returns the view without them. */
const expelSilent = ({ holding, store }: RelayParts.RelayParts, silence: Membership.Silence, view: View) =>
  Effect.gen(function* () {
    const others = view.members.filter((member) => member.owner !== holding.owner)
    const gone = new Set<string>()
    for (const member of silence.observe(others, yield* MonotonicClock.millis)) {
      if (!(yield* store.expel(member))) continue
      gone.add(member.owner)
      yield* Effect.logWarning(`relay ${member.owner} has fallen silent; its slots are taken over`)
    }
    return { ...view, members: view.members.filter((member) => !gone.has(member.owner)) }
  })

/**
 * One membership of a relay, from joining to leaving or being expelled. It works until interrupted, then finishes what
 * is on its way and gives its slots back; it fails with `StaleLease` when it was expelled, and leaves everything as it
 * is: the slots have other owners by then.
 */
export const run = (
  store: Context.Tag.Service<OutboxStore>,
  owner: string,
  settings: RelayParts.Settings,
  started: (parts: RelayParts.RelayParts) => void
): Effect.Effect<never, OutboxError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const parts = yield* RelayParts.make(store, owner, settings)
      const { holding, lanes, reader, settler, yielding } = parts
      const scope = yield* Effect.scope
      const silence = new Membership.Silence()
      const beatEvery = Duration.millis(settings.leaseMillis / beatsPerLease)
      const sweepOrphans = yield* RelayChores.orphanSweep(parts)
      let isExpelled = false

      /** Work that can take long goes on beside the heartbeats; its failure ends the term with the next of them. */
      let failure: OutboxError | undefined
      const beside = (work: Effect.Effect<void, OutboxError>) =>
        Effect.forkIn(
          Effect.catchAll(work, (error) =>
            error.retryable
              ? Effect.logWarning(`${error.message}; trying again`)
              : Effect.sync(() => void (failure = error))
          ),
          scope
        )
      const failed = Effect.suspend(() => (failure === undefined ? Effect.void : Effect.fail(failure)))

      const chores = yield* FiberHandle.make<void>()
      const doChores = ({ isDue }: View) =>
        FiberHandle.run(
          chores,
          Effect.zipRight(isDue ? RelayChores.promote(parts) : Effect.void, sweepOrphans).pipe(
            Effect.catchAll((error) => Effect.logWarning(`${error.message}; trying again`))
          ),
          { onlyIfMissing: true }
        )

      const reading = yield* FiberHandle.make<never, OutboxError>()
      const gain = (slots: ReadonlyArray<number>) =>
        Effect.gen(function* () {
          const states = yield* store.claim(owner, slots)
          if (states.length === 0) return
          // What they have read belongs to an earlier time of these slots, if they were here before.
          yield* FiberHandle.clear(reading)
          yield* FiberHandle.clear(chores)
          yield* HandOver.gain(parts, states)
          yield* FiberHandle.run(reading, reader.run([...holding.slots]))
        })

      let hasSaidWhoElse = false
      const sayWhoElse = ({ members }: View) => {
        if (hasSaidWhoElse) return Effect.void
        hasSaidWhoElse = true
        return members.length === 1
          ? Effect.void
          : Effect.logInfo(
              `${members.length - 1} other relays are known; slots come from those that live with their next heartbeat, from the others once they have been silent for their lease`
            )
      }

      /** Acts on what a heartbeat has found. */
      const act = (found: View) =>
        Effect.gen(function* () {
          if (found.slots.some((slot) => holding.isLost(slot))) {
            return yield* new OutboxError({ reason: "StaleLease", operation: "beat" })
          }
          parts.noteSinks(found.sinks)
          yield* sayWhoElse(found)
          const changed = holding.changed(found.slots)
          if (changed.length > 0) for (const lane of lanes) lane.recheck(changed)
          const view = yield* expelSilent(parts, silence, found)
          const held = new Set([...holding.slots].filter((slot) => !yielding.has(slot)))
          const plan = Membership.plan(view, owner, held, yielding)
          if (plan.claim.length > 0) yield* gain(plan.claim)
          if (plan.disown.length > 0) yield* store.release(leaseOver(owner, plan.disown))
          if (plan.release.length > 0 && yielding.size === 0) {
            yield* beside(HandOver.giveBack(parts, new Set(plan.release)))
          }
          yield* doChores(view)
          yield* RelayChores.clearSuspects(parts)
          return yield* Metric.set(OutboxMetrics.slots, holding.size)
        })

      const heartbeat = Effect.gen(function* () {
        const sentAt = yield* MonotonicClock.millis
        const view = yield* store.beat(owner, false)
        holding.renew(sentAt, settings.leaseMillis)
        yield* act(view)
        return beatEvery
      }).pipe(
        Effect.catchIf(
          (error) => error.reason !== "StaleLease",
          (error) => {
            // Who was not heard while nothing was heard at all has not been silent.
            silence.forget()
            return Effect.as(
              Effect.logWarning(`${error.message}; trying again`),
              Duration.times(beatEvery, sooner)
            )
          }
        )
      )

      const stop = Effect.suspend(() => {
        if (isExpelled) return Effect.void
        const limit = Duration.sum(Duration.decode(settings.drainWithin), Duration.seconds(1))
        const giveAllBack = Effect.zipRight(
          // The others count no longer with this one.
          Effect.ignore(store.beat(owner, true)),
          HandOver.giveBack(parts, holding.slots)
        )
        return within(limit, Effect.raceFirst(giveAllBack, Fiber.await(workers)))
      })
      const leave = Effect.suspend(() =>
        isExpelled ? Effect.void : within(settings.drainWithin, store.leave(owner))
      )

      yield* retryable(
        store.registerSinks(
          settings.sinks.map(({ sink }) => ({
            name: sink.name,
            topics: sink.topics.map((topic) => topic.name),
            isMirror: sink.isMirror ?? false
          }))
        )
      )
      // Finalizers run last first: what is on its way arrives, the workers end, the relay leaves.
      yield* Effect.acquireRelease(retryable(store.join(owner, settings.leaseMillis)), () => leave)
      const workers: Fiber.RuntimeFiber<void, OutboxError> = yield* Effect.forkScoped(
        Effect.all([settler.run, ...lanes.map((lane) => lane.run)], {
          concurrency: "unbounded",
          discard: true
        })
      )
      yield* Effect.addFinalizer(() => stop)
      started(parts)

      const beats = Effect.forever(Effect.zipRight(failed, Effect.flatMap(heartbeat, Effect.sleep)))
      const work = Effect.raceFirst(FiberHandle.join(reading), Fiber.join(workers))
      return yield* Effect.raceFirst(beats, Effect.zipRight(work, Effect.never)).pipe(
        Effect.tapError((error) => {
          isExpelled = error.reason === "StaleLease"
          return isExpelled ? HandOver.noteChange("lost", holding.size) : Effect.void
        }),
        // No more reading while what is on its way arrives.
        Effect.ensuring(FiberHandle.clear(reading))
      )
    })
  )
