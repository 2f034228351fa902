import { defineConfig } from "vitest/config"
import LongestFirst from "./test/setup/LongestFirst.ts"

// Packages are tested from their sources: no build step before `npm test`.
const conditions = ["twinbox-source", "node", "import", "module", "default"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: ["packages/*/test/**/*.test.ts", "examples/*/test/**/*.test.ts", "test/**/*.test.ts"],
    globalSetup: ["test/setup/globalServers.ts"],
    setupFiles: ["test/setup/testMethods.ts"],
    reporters: ["default", "./test/setup/CountReporter.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Servers and tests share two cores: more workers than cores only adds noise.
    maxWorkers: 2,
    minWorkers: 1,
    // A process for each file would spend a second of the processor on loading what all of them load.
    isolate: false,
    poolOptions: { forks: { execArgv: ["--max-semi-space-size=64"] } },
    sequence: { sequencer: LongestFirst }
  }
})
