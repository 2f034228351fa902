import { Clock, Duration, Effect, type Fiber, GlobalValue, type Scheduler } from "effect"
import type { Timeline } from "./Timeline.ts"

export interface ClockSettings {
  /** How far its wall clock is from the right time, in milliseconds. */
  readonly skewMillis: number
  /** Its seconds for each real one. */
  readonly rate: number
}

/** As many steps as Effect lets a fiber take in one go. */
const opsBeforeYield = 2_048

const epochMillis = 1_767_225_600_000

/**
 * A machine with a clock and a scheduler of its own for the fibers of one process. Crashed, it runs nothing ever again:
 * no finalizer, no reply. Paused, it does so when it is resumed.
 */
export class Machine implements Scheduler.Scheduler {
  readonly name: string
  readonly timeline: Timeline
  readonly clock: Clock.Clock
  #life: "running" | "paused" | "dead" = "running"
  /** What came while it was paused. */
  #held: Array<() => void> = []
  #pausedAt = 0
  /** For so long its clock stood, as that of a virtual machine does that is put aside. */
  #stoodMillis = 0
  hasStood = false
  readonly #settings: ClockSettings

  constructor(name: string, timeline: Timeline, settings: ClockSettings) {
    this.name = name
    this.timeline = timeline
    this.#settings = settings
    this.clock = this.#makeClock()
  }

  get isDead(): boolean {
    return this.#life === "dead"
  }

  get isRunning(): boolean {
    return this.#life === "running"
  }

  /** Milliseconds of its monotonic clock. */
  get millis(): number {
    return (this.timeline.now - this.#stoodMillis) * this.#settings.rate
  }

  crash(): void {
    this.#life = "dead"
    this.#held = []
  }

  pause(): void {
    if (this.#life !== "running") return
    this.#life = "paused"
    this.#pausedAt = this.timeline.now
  }

  /** @param clockStood whether its clock stood while it was paused */
  resume(clockStood: boolean): void {
    if (this.#life !== "paused") return
    this.#life = "running"
    if (clockStood) {
      this.#stoodMillis += this.timeline.now - this.#pausedAt
      this.hasStood = true
    }
    for (const task of this.#held.splice(0)) this.post(task)
  }

  /** Runs a task of this machine, or holds it back, or drops it. */
  post(task: () => void): void {
    if (this.#life === "dead") return
    this.timeline.post(() => {
      if (this.#life === "running") task()
      else if (this.#life === "paused") this.#held.push(task)
    })
  }

  scheduleTask(task: Scheduler.Task): void {
    this.post(task)
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return fiber.currentOpCount > opsBeforeYield ? 0 : false
  }

  #makeClock(): Clock.Clock {
    const { skewMillis } = this.#settings
    const wall = () => Math.floor(epochMillis + skewMillis + this.millis)
    const nanos = () => BigInt(Math.round(this.millis * 1_000_000))
    return {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      currentTimeMillis: Effect.sync(wall),
      currentTimeNanos: Effect.sync(nanos),
      unsafeCurrentTimeMillis: wall,
      unsafeCurrentTimeNanos: nanos,
      sleep: (duration) => this.#sleep(Duration.toMillis(duration))
    }
  }

  #sleep(millis: number): Effect.Effect<void> {
    return Effect.async((resume) => {
      const wakeAt = this.millis + millis
      let callOff = () => {}
      const arm = () => {
        callOff = this.timeline.after((wakeAt - this.millis) / this.#settings.rate, () => this.post(wake))
      }
      // A clock that has stood still in between has not come so far yet.
      const wake = () => (this.millis < wakeAt - 1e-6 ? arm() : resume(Effect.void))
      arm()
      return Effect.sync(() => callOff())
    })
  }
}

/** Where Effect keeps fibers that no other fiber waits for, until they end. */
const { roots } = GlobalValue.globalValue(Symbol.for("effect/FiberScope/Global"), () => ({
  roots: new Set<Fiber.RuntimeFiber<unknown, unknown>>()
}))

/** Forgets the fibers of all machines, most of which never end, since nothing runs them any more. */
export const forgetFibers = (): void => {
  for (const fiber of roots) if (fiber.currentScheduler instanceof Machine) roots.delete(fiber)
}
