import { Effect, Either, Layer, Option } from "effect"
import * as ApiRole from "./ApiRole.ts"
import * as ConsumerRole from "./ConsumerRole.ts"
import type * as Generator from "./Generator.ts"
import * as IngestRole from "./IngestRole.ts"
import * as RelayRole from "./RelayRole.ts"
import type { RoleError } from "./RoleFailures.ts"
import * as SyncRole from "./SyncRole.ts"

/** A server that a role cannot do without. */
export type Need = "MongoDB" | "Redis" | "Kafka"

/** A part of the app that runs alone or with the others. */
export interface Role<R> {
  /** What it does, for `--help`. */
  readonly purpose: string
  readonly needs: ReadonlySet<Need>
  /** What it makes use of, and can do without. */
  readonly uses?: ReadonlySet<Need>
  /** Works in the background until its scope ends, and then finishes what is under way. */
  readonly layer: Layer.Layer<never, RoleError, R>
}

/** Loaded when it runs: the names and streets that it draws from take longer to load than MongoDB's driver. */
const generator = Layer.unwrapEffect(
  Effect.map(
    Effect.promise(() => import("./Generator.ts")),
    ({ layer }) => layer
  )
)

const needs = (...servers: ReadonlyArray<Need>): ReadonlySet<Need> => new Set(servers)

/**
 * All roles, in the order in which they stop: those that write before those that carry on what was written,
 * and last who can be asked how things stand. They start the other way round.
 */
export const roles: {
  readonly generator: Role<Generator.Requirements>
  readonly ingest: Role<IngestRole.Requirements>
  readonly sync: Role<SyncRole.Requirements>
  readonly relay: Role<RelayRole.Requirements>
  readonly consumer: Role<ConsumerRole.Requirements>
  readonly api: Role<ApiRole.Requirements>
} = {
  generator: {
    purpose: "saves, changes and deletes fake customers",
    needs: needs("MongoDB"),
    layer: generator
  },
  ingest: {
    purpose: "takes events of sessions over WebSockets (/websocket)",
    needs: needs("MongoDB"),
    layer: IngestRole.layer
  },
  sync: {
    purpose: "makes twins of customers that other programs write to MongoDB",
    needs: needs("MongoDB"),
    layer: SyncRole.layer
  },
  relay: {
    purpose:
      "brings the outbox to the mirrors in Redis, to Kafka and to live exports, and writes made in Redis to MongoDB",
    needs: needs("MongoDB", "Redis"),
    uses: needs("Kafka"),
    layer: RelayRole.layer
  },
  consumer: {
    purpose: "brings events of sessions from Kafka to MongoDB, with pseudonyms",
    needs: needs("MongoDB", "Kafka"),
    layer: ConsumerRole.layer
  },
  api: {
    purpose:
      "answers HTTP: customers in MongoDB (/v1) and Redis (/v2), /exports, /docs, /metrics, /healthz, /readyz",
    needs: needs("MongoDB"),
    uses: needs("Redis"),
    layer: ApiRole.layer
  }
}

export type RoleName = keyof typeof roles

/** All names, in the order of `roles`. */
export const names = Object.keys(roles) as ReadonlyArray<RoleName>

const isName = (text: string): text is RoleName => Object.hasOwn(roles, text)

/** Reads `generator,relay`; the order of the words is of no account. */
export const parse = (text: string): Either.Either<ReadonlyArray<RoleName>, string> => {
  const words = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "")
  const unknown = words.find((word) => !isName(word))
  if (unknown !== undefined) {
    return Either.left(`there is no role '${unknown}': the roles are ${names.join(", ")}`)
  }
  return words.length === 0
    ? Either.left(`name at least one role of ${names.join(", ")}`)
    : Either.right(names.filter((name) => words.includes(name)))
}

/** The roles that were meant by `--roles`, if that was given, and `--full-reindex`. */
export const choose = (
  given: Option.Option<string>,
  isFullReindex: boolean
): Either.Either<ReadonlyArray<RoleName>, string> =>
  parse(Option.getOrElse(given, () => (isFullReindex ? "sync" : names.join(",")))).pipe(
    Either.mapLeft((problem) => `--roles: ${problem}`),
    Either.filterOrLeft(
      (chosen) => !isFullReindex || chosen.join() === "sync",
      () => "--full-reindex is for the role sync alone: run other roles in a process of their own"
    )
  )

/** Whether these roles both write and deliver, so that nobody else is expected to. */
export const isWhole = (chosen: ReadonlyArray<RoleName>): boolean =>
  chosen.includes("generator") && chosen.includes("relay")

/** The roles that can run without this server. */
export const without = (chosen: ReadonlyArray<RoleName>, server: Need): ReadonlyArray<RoleName> =>
  chosen.filter((name) => !roles[name].needs.has(server))

/** Whether one of these roles can make something of this server. */
export const wants = (chosen: ReadonlyArray<RoleName>, server: Need): boolean =>
  chosen.some((name) => roles[name].needs.has(server) || roles[name].uses?.has(server) === true)
