import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChaosProcess from "./ChaosProcess.ts"

const livesWithParent = new URL("processes/livesWithParent.ts", import.meta.url).href

/** A program that says who it is and then, now and again, that it still lives; it ends when it is told to say `fail`. */
const program = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "twinbox-chaos-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  ),
  (folder) => {
    const file = join(folder, "program.mjs")
    writeFileSync(
      file,
      `import { livesWithParent } from ${JSON.stringify(livesWithParent)}
       livesWithParent()
       console.log("pid " + process.pid + ";")
       if (process.env.FAIL === "yes") process.exit(3)
       setInterval(() => console.log("alive"), 10)`
    )
    return file
  }
)

const pidsOf = (text: string): ReadonlyArray<number> =>
  [...text.matchAll(/pid (\d+);/g)].map(([, pid]) => Number(pid))

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const until = (condition: () => boolean) =>
  Effect.promise(async () => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
  })

const cries = (process: ChaosProcess.ChaosProcess): number => process.lastWords().split("alive").length

it.scopedLive("a killed process is started again, a frozen one goes on, and with the scope it ends", () =>
  Effect.gen(function* () {
    const file = yield* program
    const pids = yield* Effect.scoped(
      Effect.gen(function* () {
        const process = yield* ChaosProcess.make({ name: "one", program: file, env: () => ({}) })
        yield* until(() => pidsOf(process.lastWords()).length === 1)
        expect(yield* process.kill(0)).toBe(true)
        yield* until(() => pidsOf(process.lastWords()).length === 2)
        const [first, second] = pidsOf(process.lastWords())
        expect(isAlive(first ?? 0)).toBe(false)
        expect([process.starts(), process.failures()]).toEqual([2, []])

        yield* Effect.fork(process.freeze(1_500))
        // What it said before may still be on its way.
        yield* Effect.sleep("500 millis")
        const said = cries(process)
        yield* Effect.sleep("500 millis")
        expect(cries(process)).toBe(said)
        yield* until(() => cries(process) > said)
        return [first, second]
      })
    )
    expect(pids.map((pid) => isAlive(pid ?? 0))).toEqual([false, false])
  })
)

it.scopedLive(
  "a process that ends by itself counts as failed and is started again; one that is stopped is not",
  () =>
    Effect.gen(function* () {
      const file = yield* program
      const process = yield* ChaosProcess.make({
        name: "two",
        program: file,
        env: (start) => ({ FAIL: start === 1 ? "yes" : "no" })
      })
      yield* until(() => cries(process) > 1)
      expect([process.starts(), process.failures().length]).toEqual([2, 1])
      expect(yield* process.stop).toBe(true)
      yield* Effect.sleep("1 second")
      expect([process.starts(), process.failures().length]).toEqual([2, 1])
      expect(pidsOf(process.lastWords()).map(isAlive)).toEqual([false, false])
    })
)

it.scopedLive("a process ends when the one that started it is gone", () =>
  Effect.gen(function* () {
    const file = yield* program
    const child = spawn(process.execPath, ["--conditions=twinbox-source", file], {
      stdio: ["pipe", "ignore", "ignore"]
    })
    child.stdin.end()
    expect(yield* Effect.promise(() => once(child, "exit"))).toEqual([1, null])
  })
)
