import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { describe, expect, it, vi } from "@effect/vitest"
import { ConfigProvider, Effect, Option } from "effect"
import { testSecret } from "../../../test/setup/appDatabase.ts"
import * as ConfigFile from "../src/ConfigFile.ts"
import { define } from "../src/SyncConfig.ts"
import * as World from "./CliWorld.ts"
import { definition } from "./configs/customers.config.ts"
import * as InProcess from "./InProcess.ts"
import { config } from "./SyncCliWorld.ts"

// Each command is a process: a busy machine takes seconds to start one.
vi.setConfig({ testTimeout: 180_000 })

const write = (folder: string, name: string, text: string) =>
  Effect.sync(() => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  })

const load = (file: string, env: ReadonlyArray<readonly [string, string]> = []) =>
  ConfigFile.load(Option.some(file)).pipe(
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(env))),
    Effect.provide(NodeContext.layer)
  )

describe("a config", () => {
  it.live("is the default export of a module", () =>
    Effect.gen(function* () {
      const { collection, mirrors } = yield* load(config)
      expect(collection).toBe("customers")
      expect(mirrors).toEqual([
        { name: "redis-mirror", view: "anonymized" },
        { name: "redis-originals", view: "original" }
      ])
    })
  )

  it.live("can be an Effect that reads settings", () =>
    Effect.gen(function* () {
      const file = new URL("configs/numbered.config.ts", import.meta.url).pathname
      expect((yield* load(file, [["SHOP", "7"]])).collection).toBe("customers7")
      expect(yield* Effect.flip(load(file))).toMatchObject({ _op: "MissingData" })
    })
  )

  it.scopedLive.each([
    ["export const shop = 1", "has no config as its default export: write 'export default define({ ... })'"],
    ["export default { collection: 'customers' }", "has no config as its default export"],
    ["throw new Error('no such shop\\n  at a line of a stack')", "cannot be loaded: no such shop"],
    ["export default (", "cannot be loaded: "],
    ["import 'file:///nowhere.mjs'", "cannot be loaded: Cannot find module"]
  ] as const)("that is none is told in one sentence: %s", ([text, problem]) =>
    Effect.gen(function* () {
      const folder = yield* World.temporaryFolder
      const file = yield* write(folder, "wrong.mjs", text)
      const error = yield* Effect.flip(load(file))
      expect(error.message).toContain(`'${file}' ${problem}`)
      expect(error.message).not.toMatch(/\n|a line of a stack/)
    })
  )

  it("with a mistake is refused when it is made", () => {
    const { originalTopic: _, ...oneWay } = definition
    expect(() => define({ ...oneWay, mirrors: [{ view: "original" }] })).toThrow(
      "the mirror 'redis-originals' needs an originalTopic"
    )
    const mirrors = [{ view: "anonymized" }, { view: "anonymized" }] as const
    expect(() => define({ ...definition, mirrors })).toThrow("two mirrors have the name 'redis-mirror'")
  })

  it.scopedLive("is found in the working folder, and missed in one sentence", () =>
    Effect.gen(function* () {
      const folder = yield* World.temporaryFolder
      const nobody = { MONGODB_URI: "mongodb://127.0.0.1:1/", ANONYMIZE_SECRET: testSecret }
      const missed = yield* World.run(["verify"], nobody, folder)
      expect(missed).toEqual({
        code: 2,
        stdout: "",
        stderr:
          "twinbox: which collection? write a twinbox.config.ts, or name it with --config or TWINBOX_CONFIG\n"
      })
      yield* write(folder, "twinbox.config.ts", `export { default } from ${JSON.stringify(config)}`)
      const found = yield* World.run(["verify"], nobody, folder)
      expect(found).toMatchObject({ code: 1, stdout: "" })
      expect(found.stderr).toContain("twinbox: MongoDB is not available")
    })
  )
})

describe("settings of a sync", () => {
  const secret = "0123456789abcdef0123456789abcdef-swapped"
  it.scopedLive.each([
    [{}, "ANONYMIZE_SECRET: there is no anonymization secret"],
    [{ ANONYMIZE_SECRET: "short" }, "ANONYMIZE_SECRET: the anonymization secret is"],
    [
      { ANONYMIZE_SECRET: testSecret, ANONYMIZE_KEY_VERSION: secret },
      "ANONYMIZE_KEY_VERSION must be a whole number from 1 to 2147483647"
    ],
    [{ ANONYMIZE_SECRET: testSecret, SYNC_BATCH_SIZE: "0" }, "SYNC_BATCH_SIZE must be a whole number from 1"],
    [{ ANONYMIZE_SECRET: testSecret, TWINBOX_CONFIG: "none.ts" }, "there is no config 'none.ts'"],
    [{ ANONYMIZE_SECRET: testSecret }, "which MongoDB? set MONGODB_URI"]
  ] as const)("that are wrong are told with exit code 2 and no secret: %o", ([env, problem]) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* InProcess.run(["verify"], { TWINBOX_CONFIG: config, ...env })
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
      expect(stderr).toContain(`twinbox: ${problem}`)
      expect(stderr).not.toMatch(new RegExp(`${secret}|${testSecret}|short`))
    })
  )
})
