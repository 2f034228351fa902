import type { Reporter, TestModule } from "vitest/node"

interface Counts {
  passed: number
  failed: number
  skipped: number
}

const countTests = (module: TestModule, counts: Counts): void => {
  for (const test of module.children.allTests()) {
    const state = test.result().state
    if (state === "passed") counts.passed++
    else if (state === "skipped") counts.skipped++
    // A test without a result was cut off: it has not passed.
    else counts.failed++
  }
}

/** Errors outside of tests: a file or a group that did not load, or a hook that failed. */
const countErrors = (module: TestModule, counts: Counts): void => {
  counts.failed += module.errors().length
  for (const suite of module.children.allSuites()) counts.failed += suite.errors().length
}

const summary = ({ passed, failed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`

/**
 * Prints `N passed, N failed` (and `, N skipped` if any) as the very last line of a run. It is written when the
 * process exits, after whatever other reporters and the stopping servers have to say. A run that failed for a
 * reason outside of any test counts as one failure more, so a red run never reads `0 failed`.
 */
export default class CountReporter implements Reporter {
  private counts: Counts = { passed: 0, failed: 0, skipped: 0 }

  onInit(): void {
    process.once("exit", (code) => {
      const failed = code !== 0 && this.counts.failed === 0 ? 1 : this.counts.failed
      process.stdout.write(`\n${summary({ ...this.counts, failed })}\n`)
    })
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandledErrors: ReadonlyArray<unknown>): void {
    const counts: Counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 }
    for (const module of modules) {
      countTests(module, counts)
      countErrors(module, counts)
    }
    this.counts = counts
  }
}
