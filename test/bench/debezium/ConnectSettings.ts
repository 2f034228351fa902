import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { Effect } from "effect"

/** Settings of Kafka Connect by their names. */
export type Properties = ReadonlyMap<string, string>

const page = fileURLToPath(new URL("../../../docs/debezium.md", import.meta.url))

const block = (name: string): RegExp => new RegExp("```properties\\n# " + name + "\\n([\\s\\S]*?)\\n```")

/** Lines of a file of properties; a backslash at the end joins the next one. */
const parse = (text: string): Properties =>
  new Map(
    text
      .replaceAll(/\\\n\s*/g, "")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const at = line.indexOf("=")
        return [line.slice(0, at), line.slice(at + 1)] as const
      })
  )

/** Which settings depend on the machine. */
export interface Places {
  readonly mongoUri: string
  readonly database: string
  readonly brokers: string
  /** Port of Kafka Connect itself. */
  readonly port: number
  /** Where it notes how far it has come. */
  readonly offsetsFile: string
  /** Kafka's topics have this before the names of ours. */
  readonly topicPrefix: string
}

/** The database that the page has for an example. */
const exampleDatabase = "shop"

/**
 * The settings that the documentation shows, with the places of this run: what people are told is what is measured and
 * checked.
 */
export const documented = (places: Places) =>
  Effect.map(
    Effect.promise(() => readFile(page, "utf8")),
    (text) => {
      const read = (name: string) => {
        const found = block(name).exec(text)?.[1]
        if (found === undefined) throw new Error(`docs/debezium.md has no properties under the name ${name}`)
        return parse(found)
      }
      const { brokers, database, mongoUri, offsetsFile, port, topicPrefix } = places
      const worker: Properties = new Map([
        ...read("worker.properties"),
        ["bootstrap.servers", brokers],
        ["listeners", `http://127.0.0.1:${port}`],
        ["offset.storage.file.filename", offsetsFile]
      ])
      const connector: Properties = new Map([
        ...[...read("outbox.properties")].map(
          ([name, value]) => [name, value.replaceAll(`${exampleDatabase}.`, `${database}.`)] as const
        ),
        ["mongodb.connection.string", mongoUri],
        ["transforms.outbox.route.topic.replacement", `${topicPrefix}\${routedByValue}`]
      ])
      return { worker, connector }
    }
  )

/** Text of a file of properties. */
export const toText = (properties: Properties): string =>
  [...properties].map(([name, value]) => `${name}=${value.replaceAll("\\", "\\\\")}\n`).join("")
