import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { appDatabase } from "../setup/appDatabase.ts"
import { startApp } from "../setup/appProcess.ts"
import { docExamples, stable } from "../setup/docExamples.ts"
import { describeKafka } from "../setup/testKafka.ts"

const read = (file: string): string => readFileSync(new URL(`../../docs/${file}`, import.meta.url), "utf8")

const page = read("kafka.md")
const [customers, sessions] = docExamples(page, "text")

/** What sends the event that the second example reads. */
const sending = /^```sh\n(node -e (?:(?!```).*\n)*)```$/m.exec(read("events.md"))?.[1] ?? ""

const [, documentedArguments = ""] = /`npm start -- (--roles [a-z,]+)`/.exec(page) ?? []

/** Where the documentation says that the app and its Kafka are. */
const documentedApp = "127.0.0.1:3000"
const [, documentedKafka = ""] = /Kafka: ready at (\S+)/.exec(page) ?? []

/** Runs a block as a person would who pastes it into a terminal. */
const run = (command: string) =>
  Effect.async<string>((resume) => {
    execFile("bash", ["-euo", "pipefail", "-c", command], { timeout: 60_000 }, (error, stdout, stderr) => {
      resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${command}\n${stderr}`)))
    })
  })

/** With placeholders for what differs from run to run. */
const comparable = (printed: string): string =>
  stable(printed)
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/\b00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]\b/g, "<trace>")

describeKafka("The examples of docs/kafka.md", () => {
  it.scopedLive(
    "print as documented, with Kafka's own consumer and the Kafka of the app",
    () =>
      Effect.gen(function* () {
        const { env } = yield* appDatabase
        const app = yield* startApp({ env: { ...env, KAFKA: "on" }, args: documentedArguments.split(" ") })
        const [, address = ""] = yield* Effect.promise(() => app.waitFor(/HTTP: http:\/\/(\S+) has/))
        const [, brokers = ""] = yield* Effect.promise(() => app.waitFor(/Kafka: ready at (\S+)/))
        const paste = (command = "") =>
          run(command.replaceAll(documentedApp, address).replaceAll(documentedKafka, brokers))
        expect(yield* paste(sending)).toContain('"type":"ack"')
        for (const example of [customers, sessions]) {
          const printed = yield* paste(example?.command)
          expect(comparable(printed)).toBe(comparable(example?.expected ?? "nothing is documented"))
        }
      }),
    120_000
  )
})
