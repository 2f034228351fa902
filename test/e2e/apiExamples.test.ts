import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { expect, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { appDatabase } from "../setup/appDatabase.ts"
import { startApp } from "../setup/appProcess.ts"
import { docExamples, readAnswer } from "../setup/docExamples.ts"

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), "utf8")

const page = read("docs/api.md")
const examples = docExamples(page)

/** Where the documentation says that the app is. */
const documentedBase = "http://127.0.0.1:3000"

const documentedTokens = /^API_TOKENS='([^']+)' npm start$/m.exec(page)?.[1] ?? ""

/** An app without tokens, and one with those of the documentation. */
class Apps extends Context.Tag("test/e2e/apiExamples/Apps")<
  Apps,
  { readonly open: string; readonly guarded: string }
>() {}

const start = (env: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const app = yield* startApp({ env, args: ["--roles", "api"] })
    const [, base = ""] = yield* Effect.promise(() => app.waitFor(/HTTP: (http:\S+) has/))
    return base
  })

const apps = Layer.scoped(
  Apps,
  Effect.gen(function* () {
    const { env } = yield* appDatabase
    const [open, guarded] = yield* Effect.all([start(env), start({ ...env, API_TOKENS: documentedTokens })], {
      concurrency: 2
    })
    return { open, guarded }
  })
)

/** Runs a block as a person would who pastes it into a terminal. */
const run = (command: string) =>
  Effect.async<string>((resume) => {
    execFile("bash", ["-euo", "pipefail", "-c", command], (error, stdout, stderr) => {
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${command}\n${stderr}`)))
    })
  })

layer(apps, { excludeTestServices: true })("The examples of docs/api.md and README.md", (it) => {
  it.effect("are there for every method and either version, with and without tokens", () =>
    Effect.sync(() => {
      const commands = examples.map(({ command }) => command).join("")
      for (const part of [
        "-X PUT",
        "-X PATCH",
        "-X DELETE",
        "/v1/customers",
        "/twin",
        "/v2/customer",
        "/v2/refused"
      ]) {
        expect(commands).toContain(part)
      }
      const curls = page.match(/^```sh\n(?!API_TOKENS=)/gm) ?? []
      expect(examples).toHaveLength(curls.length)
      expect(documentedTokens).not.toBe("")
    })
  )

  it.effect.each([...examples, ...docExamples(read("README.md"))])(
    "answer as documented: $heading, $command",
    ({ command, expected, heading }) =>
      Effect.gen(function* () {
        const { guarded, open } = yield* Apps
        const base = heading === "Access" ? guarded : open
        const printed = yield* run(command.replaceAll(documentedBase, base))
        const answer = readAnswer(printed)
        const documented = readAnswer(expected)
        expect([answer.status, answer.body]).toEqual([documented.status, documented.body])
        for (const [name, value] of documented.headers)
          expect([name, answer.headers.get(name)]).toEqual([name, value])
      })
  )
})
