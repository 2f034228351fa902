interface Timer {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** Chooses which of so many tasks that could run now runs next. */
export type Choose = (tasks: number) => number

/** Of tasks that wait longest, the chosen one runs next. */
const choice = 4

/** Tasks that run at one moment, at most. */
const maxSteps = 20_000

/** Time does not move on, since tasks go round and round. */
export class Spinning extends Error {
  constructor(now: number) {
    super(`${maxSteps} steps at ${now} milliseconds, and no end`)
  }
}

/**
 * Virtual time for everything in a simulation. Tasks run one by one; when none is left, time moves on to the next timer.
 * Nothing here waits for the outside world, so a run depends on what `choose` and the tasks draw only.
 */
export class Timeline {
  /** Milliseconds since the simulation began. */
  now = 0
  readonly #choose: Choose
  #tasks: Array<() => void> = []
  readonly #heap: Array<Timer> = []
  #timers = 0

  constructor(choose: Choose) {
    this.#choose = choose
  }

  /** Runs a task as soon as it is its turn. */
  post(task: () => void): void {
    this.#tasks.push(task)
  }

  /** Runs a task after a while; returns how to call it off. */
  after(millis: number, run: () => void): () => void {
    const timer: Timer = { at: this.now + Math.max(0, millis), order: (this.#timers += 1), run }
    this.#push(timer)
    return () => void (timer.run = undefined)
  }

  /** Goes on until a condition holds, which is looked at every `lookEvery` milliseconds; tells whether it did in time. */
  runUntil(holds: () => boolean, lookEvery: number, limitMillis: number): boolean {
    const end = this.now + limitMillis
    while (this.now < end) {
      if (holds()) return true
      this.#runFor(Math.min(lookEvery, end - this.now))
    }
    return holds()
  }

  #runFor(millis: number): void {
    const end = this.now + millis
    this.#runTasks()
    for (let first = this.#heap[0]; first !== undefined && first.at <= end; first = this.#heap[0]) {
      this.#pop()
      if (first.run === undefined) continue
      this.now = first.at
      first.run()
      this.#runTasks()
    }
    this.now = end
  }

  #runTasks(): void {
    let steps = 0
    while (this.#tasks.length > 0) {
      if ((steps += 1) > maxSteps) throw new Spinning(this.now)
      const waiting = this.#tasks.length
      const at = waiting === 1 ? 0 : this.#choose(Math.min(choice, waiting))
      const task = this.#tasks[at] as () => void
      if (at === 0) this.#tasks.shift()
      else this.#tasks.splice(at, 1)
      task()
    }
  }

  #isBefore(a: Timer, b: Timer): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order)
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let at = heap.push(timer) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Timer
      if (!this.#isBefore(timer, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = timer
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Timer
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      const right = heap[child + 1]
      if (right !== undefined && this.#isBefore(right, heap[child] as Timer)) child += 1
      if (!this.#isBefore(heap[child] as Timer, last)) break
      heap[at] = heap[child] as Timer
      at = child
    }
    heap[at] = last
  }
}
