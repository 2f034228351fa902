import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { Effect, Redacted } from "effect"
import { afterEach, beforeEach, expect, it } from "vitest"
import * as DemoSecret from "../src/DemoSecret.ts"

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "twinbox-secret-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const secrets = (count: number, of = folder) =>
  Effect.runPromise(
    Effect.all(
      Array.from({ length: count }, () => DemoSecret.ofFolder(of)),
      { concurrency: "unbounded" }
    ).pipe(
      Effect.map((made) => made.map(Redacted.value)),
      Effect.provide(NodeContext.layer)
    )
  )

it("is made once, however many ask at the same time, and is there again", async () => {
  const data = join(folder, "deep", "data")
  const [first, ...rest] = await secrets(8, data)
  expect(first).toMatch(/^[0-9a-f]{64}$/)
  expect(new Set([first, ...rest, ...(await secrets(1, data))]).size).toBe(1)
})

it("is for its owner's eyes only, and leaves no draft", async () => {
  await secrets(3)
  expect(readdirSync(folder)).toEqual(["anonymize-secret"])
  expect(statSync(join(folder, "anonymize-secret")).mode & 0o777).toBe(0o600)
})
